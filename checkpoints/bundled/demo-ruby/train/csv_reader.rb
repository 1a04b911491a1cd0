# frozen_string_literal: true

# Reads and writes tables of comma-separated values without any library.
class CsvReader
  include Enumerable

  # Raised when quotes do not match or a row has the wrong number of fields.
  class MalformedRow < StandardError; end

  # Splits one line into its fields and undoes the quoting.
  def self.split_line(line, separator: ",")
    fields = []
    field = +""
    quoted = false
    letters = line.each_char.to_a
    until letters.empty?
      letter = letters.shift
      if letter == '"'
        doubled = quoted && letters.first == '"'
        doubled ? field << letters.shift : quoted = !quoted
      elsif letter == separator && !quoted
        fields << field
        field = +""
      else
        field << letter
      end
    end
    raise MalformedRow, "quote is never closed: #{line}" if quoted

    fields << field
  end

  # Joins fields to one line and quotes those that contain separators, quotes or line breaks.
  def self.join_line(fields, separator: ",")
    fields.map do |field|
      text = field.to_s
      text.match?(/["\n#{Regexp.escape(separator)}]/) ? "\"#{text.gsub('"', '""')}\"" : text
    end.join(separator)
  end

  # Writes an array of hashes as text, with the keys of the first one as header.
  def self.generate(records, separator: ",")
    return "" if records.empty?

    header = records.first.keys
    rows = records.map { |record| record.values_at(*header) }
    [header, *rows].map { |row| "#{join_line(row, separator: separator)}\n" }.join
  end

  attr_reader :header

  def initialize(text, separator: ",", header: true)
    @separator = separator
    @lines = logical_lines(text)
    @header = header ? parse(@lines.shift || "") : nil
  end

  # Yields every row, as a hash when there is a header and as an array otherwise.
  def each
    return enum_for(:each) unless block_given?

    @lines.each.with_index(1) do |line, number|
      fields = parse(line)
      yield @header ? record(fields, number) : fields
    end
  end

  # Returns the values of one column from top to bottom.
  def column(name)
    raise KeyError, "no column #{name.inspect}" unless @header&.include?(name)

    map { |row| row[name] }
  end

  # Collects the rows under the value that they have in a column.
  def index_by(name)
    to_h { |row| [row.fetch(name), row] }
  end

  # Guesses for each column whether it holds integers, decimals or text.
  def column_types
    @header.to_h do |name|
      values = column(name).reject(&:empty?)
      type = if values.all?(/\A-?\d+\z/) then :integer
             elsif values.all?(/\A-?\d+(\.\d+)?\z/) then :decimal
             else :text
             end
      [name, type]
    end
  end

  # Yields each row with its values converted to the guessed types of their columns; empty fields become nil.
  def each_typed
    types = column_types
    each do |row|
      yield row.to_h { |name, text| [name, cast(text, types[name])] }
    end
  end

  private

  # Glues physical lines together while a quoted field spans several of them.
  def logical_lines(text)
    text.each_line(chomp: true).each_with_object([]) do |line, lines|
      if lines.any? && lines.last.count('"').odd?
        lines.last << "\n" << line
      elsif !line.empty?
        lines << line.dup
      end
    end
  end

  # Splits a line with the separator of this reader.
  def parse(line)
    self.class.split_line(line, separator: @separator)
  end

  # Pairs the fields of a row with the header and complains when their numbers differ.
  def record(fields, number)
    unless fields.size == @header.size
      raise MalformedRow, "row #{number} has #{fields.size} fields instead of #{@header.size}"
    end

    @header.zip(fields).to_h
  end

  # Converts the text of a field to the given type.
  def cast(text, type)
    return nil if text.empty?

    case type
    when :integer then text.to_i
    when :decimal then text.to_f
    else text
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  reader = CsvReader.new(<<~CSV)
    name,price,count
    "Tea, green",3.50,2
    "The ""best""
    cake",4,
  CSV
  raise "header" unless reader.header == %w[name price count]
  raise "rows" unless reader.first == { "name" => "Tea, green", "price" => "3.50", "count" => "2" }
  raise "multi-line" unless reader.column("name").last == "The \"best\"\ncake"
  raise "types" unless reader.column_types == { "name" => :text, "price" => :decimal, "count" => :integer }
  typed = []
  reader.each_typed { |row| typed << row.values_at("price", "count") }
  raise "typed" unless typed == [[3.5, 2], [4.0, nil]]
  raise "index" unless reader.index_by("price").keys == %w[3.50 4]
  raise "no header" unless CsvReader.new("1;2\n3;4", separator: ";", header: false).to_a == [%w[1 2], %w[3 4]]
  raise "generate" unless CsvReader.generate([{ a: 1, b: 'x "y"' }]) == "a,b\n1,\"x \"\"y\"\"\"\n"
  begin
    CsvReader.new("a,b\n1").to_a
    raise "must not read"
  rescue CsvReader::MalformedRow
    nil
  end
end

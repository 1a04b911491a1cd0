# frozen_string_literal: true

# Formats rows of values as an aligned text table.
class TableFormatter
  Column = Struct.new(:title, :align, :format) do
    # Converts a cell to text, with the format of the column when it has one.
    def text_for(value)
      return "" if value.nil?

      format ? Kernel.format(format, value) : value.to_s
    end

    # Pads a text to the width according to the alignment of the column.
    def pad(text, width)
      case align
      when :right then text.rjust(width)
      when :center then text.center(width)
      else text.ljust(width)
      end
    end
  end

  # Builds a table from an array of hashes, with one column for each key that occurs.
  def self.from_hashes(records)
    keys = records.flat_map(&:keys).uniq
    table = new
    keys.each do |key|
      numeric = records.all? { |record| record[key].nil? || record[key].is_a?(Numeric) }
      table.column(key.to_s, align: numeric ? :right : :left)
    end
    records.each { |record| table.row(*record.values_at(*keys)) }
    table
  end

  def initialize
    @columns = []
    @rows = []
    yield self if block_given?
  end

  # Declares the next column with its title, alignment and number format.
  def column(title, align: :left, format: nil)
    @columns << Column.new(title, align, format)
    self
  end

  # Appends a row and checks that it has exactly one value for each column.
  def row(*values)
    unless values.size == @columns.size
      raise ArgumentError, "expected #{@columns.size} values, got #{values.size}"
    end

    @rows << values
    self
  end

  # Adds a horizontal line below the rows that were added so far.
  def separator
    @rows << :separator
    self
  end

  # Sorts the data rows by the values of the column with the given title.
  def sort_by_column!(title, descending: false)
    index = @columns.index { |column| column.title == title }
    raise ArgumentError, "no column #{title}" unless index

    @rows = data_rows.sort_by { |values| values[index] }
    @rows.reverse! if descending
    self
  end

  # Sums up the numbers of a column, ignoring cells that are empty.
  def total(title)
    index = @columns.index { |column| column.title == title }
    data_rows.sum { |values| values[index] || 0 }
  end

  # Renders the table with blanks between columns and a rule under the titles.
  def to_s
    lines = [line(@columns.map(&:title)), rule]
    @rows.each { |values| lines << (values == :separator ? rule : line(texts(values))) }
    lines.join("\n")
  end

  # Renders the table in the pipe syntax that Markdown understands.
  def to_markdown
    marks = @columns.map { |column| { left: ":--", right: "--:", center: ":-:" }.fetch(column.align) }
    rows = [@columns.map(&:title), marks] + data_rows.map { |values| texts(values) }
    rows.map { |cells| "| #{cells.join(" | ")} |" }.join("\n")
  end

  private

  # Returns the rows that hold values, without the separators.
  def data_rows
    @rows.grep(Array)
  end

  # Formats the values of one row, each by the rules of its column.
  def texts(values)
    @columns.zip(values).map { |column, value| column.text_for(value) }
  end

  # Measures for every column the width of its longest cell, the title included.
  def widths
    data_rows.map { |values| texts(values) }
             .push(@columns.map(&:title))
             .transpose
             .map { |cells| cells.map(&:length).max }
  end

  # Pads the cells of one line and joins them, without blanks at the end.
  def line(cells)
    @columns.zip(cells, widths).map { |column, cell, width| column.pad(cell, width) }.join("  ").rstrip
  end

  # Draws a dashed line below each column.
  def rule
    widths.map { |width| "-" * width }.join("  ")
  end
end

if __FILE__ == $PROGRAM_NAME
  table = TableFormatter.new do |t|
    t.column("Item").column("Price", align: :right, format: "%.2f")
    t.row("Tea", 3).row("Coffee", 12.5)
    t.separator.row("Sum", 15.5)
  end
  expected = <<~TABLE.chomp
    Item    Price
    ------  -----
    Tea      3.00
    Coffee  12.50
    ------  -----
    Sum     15.50
  TABLE
  raise "table" unless table.to_s == expected
  raise "total" unless table.total("Price") == 31.0
  people = TableFormatter.from_hashes([{ name: "Bo", age: 41 }, { name: "Al", age: 7 }])
  people.sort_by_column!("age")
  raise "markdown" unless people.to_markdown == "| name | age |\n| :-- | --: |\n| Al | 7 |\n| Bo | 41 |"
  raise "descending" unless people.sort_by_column!("name", descending: true).to_s.lines.last == "Al      7"
  begin
    people.row("too few")
    raise "must not add"
  rescue ArgumentError
    nil
  end
end

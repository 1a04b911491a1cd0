# frozen_string_literal: true

# Reads, changes and writes configuration files with sections and keys.
class IniFile
  # Raised with the line number when a line can not be understood.
  class ParseError < StandardError
    attr_reader :line_number

    def initialize(line_number, line)
      @line_number = line_number
      super("line #{line_number}: cannot parse #{line.inspect}")
    end
  end

  GLOBAL = "global"

  # Reads and parses the file at the given path.
  def self.load(path)
    parse(File.read(path, encoding: "UTF-8"))
  end

  # Parses text into a new configuration, skipping blank lines and comments.
  def self.parse(text)
    ini = new
    section = GLOBAL
    text.each_line(chomp: true).with_index(1) do |line, number|
      case line
      when /\A\s*([;#].*)?\z/ then next
      when /\A\s*\[([^\]]+)\]\s*\z/ then section = Regexp.last_match(1).strip
      when /\A\s*([^=]+?)\s*=\s*(.*?)\s*\z/
        ini.set(section, Regexp.last_match(1), convert(Regexp.last_match(2)))
      else raise ParseError.new(number, line)
      end
    end
    ini
  end

  # Converts the text of a value into a number, a boolean, nil or an unquoted string.
  def self.convert(text)
    case text
    when /\A-?\d+\z/ then Integer(text, 10)
    when /\A-?\d+\.\d+\z/ then Float(text)
    when /\A(true|yes|on)\z/i then true
    when /\A(false|no|off)\z/i then false
    when "" then nil
    when /\A"(.*)"\z/ then Regexp.last_match(1)
    else text
    end
  end

  def initialize
    @sections = {}
  end

  # Reads a key of a section and falls back to the default when one of them is missing.
  def get(section, key, default = nil)
    @sections.fetch(section, {}).fetch(key, default)
  end

  # Sets a key and creates its section when it is new.
  def set(section, key, value)
    (@sections[section] ||= {})[key] = value
  end

  # Returns the keys and values of a section as a hash that is safe to change.
  def section(name)
    @sections.fetch(name, {}).dup
  end

  # Lists the names of all sections in the order of the file.
  def sections = @sections.keys

  # Removes a key, and with it the section when that was its last key.
  def delete(section, key)
    entries = @sections.fetch(section) { return nil }
    value = entries.delete(key)
    @sections.delete(section) if entries.empty?
    value
  end

  # Returns a new configuration in which the other one wins wherever both define a key.
  def merge(other)
    [self, other].each_with_object(IniFile.new) do |source, merged|
      source.each { |section, key, value| merged.set(section, key, value) }
    end
  end

  # Yields section, key and value of every entry.
  def each
    return enum_for(:each) unless block_given?

    @sections.each do |section, entries|
      entries.each { |key, value| yield section, key, value }
    end
  end

  # Formats the configuration so that parsing the result gives the same values again.
  def to_s
    @sections.map do |name, entries|
      lines = entries.map { |key, value| "#{key} = #{encode(value)}" }
      lines.unshift("[#{name}]") unless name == GLOBAL
      lines.join("\n")
    end.join("\n\n") + "\n"
  end

  # Writes the configuration to a file by way of a temporary name, so that readers never see half of it.
  def save(path)
    temporary = "#{path}.new"
    File.write(temporary, to_s)
    File.rename(temporary, path)
    path
  end

  private

  # Puts quotes around strings that would otherwise be read as another type.
  def encode(value)
    return "" if value.nil?
    return value.to_s unless value.is_a?(String)

    self.class.convert(value) == value && value.strip == value ? value : "\"#{value}\""
  end
end

if __FILE__ == $PROGRAM_NAME
  require "tmpdir"
  ini = IniFile.parse(<<~INI)
    ; settings
    name = demo
    [server]
    port = 8080
    ratio = 0.5
    debug = on
    code = "007"
  INI
  raise "global" unless ini.get(IniFile::GLOBAL, "name") == "demo"
  raise "types" unless ini.section("server") == { "port" => 8080, "ratio" => 0.5, "debug" => true, "code" => "007" }
  raise "default" unless ini.get("nope", "x", 1) == 1 && ini.sections == %w[global server]
  raise "round trip" unless IniFile.parse(ini.to_s).each.to_a == ini.each.to_a
  other = IniFile.new
  other.set("server", "port", 9090)
  raise "merge" unless ini.merge(other).get("server", "port") == 9090 && ini.get("server", "port") == 8080
  raise "delete" unless other.delete("server", "port") == 9090 && other.sections.empty?
  Dir.mktmpdir do |dir|
    path = ini.save(File.join(dir, "a.ini"))
    raise "load" unless IniFile.load(path).get("server", "debug") == true
  end
  begin
    IniFile.parse("a = 1\nwhat")
    raise "must not parse"
  rescue IniFile::ParseError => e
    raise "number" unless e.line_number == 2
  end
end

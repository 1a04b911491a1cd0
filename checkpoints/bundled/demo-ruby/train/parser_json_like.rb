# frozen_string_literal: true

# A reader and writer for a data notation that resembles JSON and allows comments.

require "strscan"

module DemoJson
  # Raised when the text does not follow the notation.
  class SyntaxError < StandardError
    # Adds line and column of the given position to the message.
    def initialize(message, text, position)
      before = text[0...position]
      line = before.count("\n") + 1
      column = position - (before.rindex("\n") || -1)
      super("#{message} at line #{line}, column #{column}")
    end
  end

  # Reads a text into hashes, arrays and plain values by recursive descent.
  class Parser
    ESCAPES = { "n" => "\n", "t" => "\t", "r" => "\r", '"' => '"', "\\" => "\\", "/" => "/" }.freeze

    # Keeps the text and a scanner over it.
    def initialize(text, symbolize: false)
      @text = text
      @scanner = StringScanner.new(text)
      @symbolize = symbolize
    end

    # Reads the whole text and returns the value it describes.
    def parse
      result = value
      skip_space
      fail_here("unexpected text after the value") unless @scanner.eos?
      result
    end

    private

    # Reads any value and picks the rule to use from the next character.
    def value
      skip_space
      case @scanner.peek(1)
      when "{" then object
      when "[" then array
      when '"' then string
      else literal
      end
    end

    # Reads key and value pairs between braces into a hash.
    def object
      entries = list("{", "}") do
        key = string
        expect(":")
        [@symbolize ? key.to_sym : key, value]
      end
      entries.to_h
    end

    # Reads the elements between square brackets into an array.
    def array
      list("[", "]") { value }
    end

    # Collects what the block reads between two brackets, separated by commas, with an optional trailing comma.
    def list(open, close)
      expect(open)
      items = []
      until accept(close)
        items << yield
        next if accept(",")

        expect(close)
        break
      end
      items
    end

    # Reads a quoted string and replaces the escape sequences in it.
    def string
      expect('"')
      result = +""
      until @scanner.skip(/"/)
        if @scanner.scan(/[^"\\]+/)
          result << @scanner.matched
        elsif @scanner.scan(/\\u(\h{4})/)
          result << @scanner[1].hex.chr(Encoding::UTF_8)
        elsif @scanner.scan(/\\(.)/)
          result << ESCAPES.fetch(@scanner[1]) { fail_here("unknown escape") }
        else
          fail_here("string is not closed")
        end
      end
      result
    end

    # Reads a number or one of the words true, false and null.
    def literal
      if @scanner.scan(/-?\d+\.\d+(?:[eE][-+]?\d+)?/) then @scanner.matched.to_f
      elsif @scanner.scan(/-?\d+/) then @scanner.matched.to_i
      elsif @scanner.skip(/true\b/) then true
      elsif @scanner.skip(/false\b/) then false
      elsif @scanner.skip(/null\b/) then nil
      else fail_here("expected a value")
      end
    end

    # Consumes the given character after optional space and tells whether it was there.
    def accept(char)
      skip_space
      !@scanner.skip(Regexp.new(Regexp.escape(char))).nil?
    end

    # Consumes the given character or raises an error that names it.
    def expect(char)
      accept(char) || fail_here("expected #{char.inspect}")
    end

    # Moves past white space and past comments that start with two slashes.
    def skip_space
      @scanner.skip(%r{(?:\s+|//[^\n]*)+})
    end

    # Raises a SyntaxError for the current position.
    def fail_here(message)
      raise SyntaxError.new(message, @text, @scanner.charpos)
    end
  end

  module_function

  # Parses a text and returns the value, with symbols as keys if wanted.
  def load(text, symbolize: false)
    Parser.new(text, symbolize: symbolize).parse
  end

  # Writes a value as compact text without any white space.
  def dump(value)
    case value
    when Hash then "{#{value.map { |key, item| "#{dump(key.to_s)}:#{dump(item)}" }.join(',')}}"
    when Array then "[#{value.map { |item| dump(item) }.join(',')}]"
    when String, Symbol then quote(value.to_s)
    when nil then "null"
    when true, false, Numeric then value.to_s
    else raise TypeError, "cannot write a #{value.class}"
    end
  end

  # Puts a string in double quotes and escapes quotes, backslashes and control characters.
  def quote(text)
    escaped = text.gsub(/["\\]/) { |char| "\\#{char}" }
    escaped = escaped.gsub("\n", "\\n").gsub("\t", "\\t").gsub("\r", "\\r")
    "\"#{escaped}\""
  end

  # Writes a value over several lines, indented by two spaces for each level of nesting.
  def pretty(value, depth = 0)
    return dump(value) unless value.is_a?(Enumerable) && value.any?

    pad = "  " * (depth + 1)
    rows = value.map do |item, inner|
      value.is_a?(Hash) ? "#{pad}#{dump(item.to_s)}: #{pretty(inner, depth + 1)}" : pad + pretty(item, depth + 1)
    end
    open, close = value.is_a?(Hash) ? %w[{ }] : %w([ ])
    "#{open}\n#{rows.join(",\n")}\n#{'  ' * depth}#{close}"
  end
end

if __FILE__ == $PROGRAM_NAME
  text = <<~TEXT
    {
      // the name is shown to users
      "name": "caf\\u00e9 \\"one\\"",
      "sizes": [1, -2, 3.5e1,],
      "open": true, "owner": null,
      "empty": {}
    }
  TEXT
  data = DemoJson.load(text)
  raise "name" unless data["name"] == "café \"one\""
  raise "sizes" unless data["sizes"] == [1, -2, 35.0]
  raise "words" unless data["open"] == true && data["owner"].nil? && data["empty"] == {}
  raise "symbols" unless DemoJson.load('{"a": {"b": 1}}', symbolize: true) == { a: { b: 1 } }
  raise "round trip" unless DemoJson.load(DemoJson.dump(data)) == data
  raise "dump" unless DemoJson.dump({ a: ["x\ny", nil] }) == '{"a":["x\\ny",null]}'
  raise "pretty" unless DemoJson.pretty({ a: [1, 2] }) == "{\n  \"a\": [\n    1,\n    2\n  ]\n}"
  begin
    DemoJson.load("[1,\n ?]")
    raise "no error"
  rescue DemoJson::SyntaxError => e
    raise "text #{e.message}" unless e.message == "expected a value at line 2, column 2"
  end
  begin
    DemoJson.load('"open')
    raise "no error"
  rescue DemoJson::SyntaxError => e
    raise "text #{e.message}" unless e.message == "string is not closed at line 1, column 6"
  end
  begin
    DemoJson.dump(Object)
    raise "no error"
  rescue TypeError => e
    raise "text" unless e.message == "cannot write a Class"
  end
end

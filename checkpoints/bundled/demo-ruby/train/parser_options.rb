# frozen_string_literal: true

# Command line options: declaration, parsing and help text.

module DemoOptions
  # Raised for a command line that does not fit the declared options.
  class UsageError < StandardError; end

  Option = Struct.new(:name, :short, :type, :default, :help, :required, keyword_init: true) do
    # Tells whether the option is a switch that takes no value.
    def switch? = type == :switch

    # Converts the text given by the user to the declared type.
    def convert(text)
      case type
      when :integer then Integer(text, 10)
      when :float then Float(text)
      when :list then text.split(",")
      else text
      end
    rescue ArgumentError
      raise UsageError, "--#{name} wants #{type}, but got #{text.inspect}"
    end

    # Shows how the option is written on the command line.
    def usage
      names = [short && "-#{short}", "--#{name.to_s.tr('_', '-')}"].compact.join(", ")
      switch? ? names : "#{names} #{type.to_s.upcase}"
    end
  end

  # Declares options and reads them from an array of arguments.
  class Parser
    # Starts without options and yields itself for their declaration.
    def initialize(program)
      @program = program
      @options = {}
      yield self if block_given?
    end

    # Declares an option that takes a value of the given type.
    def option(name, type: :string, short: nil, default: nil, required: false, help: "")
      @options[name] = Option.new(name: name, short: short, type: type, default: default,
                                  help: help, required: required)
    end

    # Declares a switch, which is false unless it appears on the command line.
    def switch(name, short: nil, help: "")
      option(name, type: :switch, short: short, default: false, help: help)
    end

    # Reads the arguments and returns the option values and the remaining words.
    #
    # Everything after a bare "--" counts as a word, even if it starts with a hyphen.
    def parse(arguments)
      values = @options.transform_values(&:default)
      words = []
      queue = arguments.dup
      until queue.empty?
        argument = queue.shift
        break words.concat(queue) if argument == "--"
        next words << argument unless argument.match?(/\A-./)

        take(argument, queue, values)
      end
      check_required(values)
      [values, words]
    end

    # Formats the usage line and a table with one line per option.
    def help
      width = @options.values.map { |option| option.usage.length }.max || 0
      rows = @options.values.map { |option| "  #{option.usage.ljust(width)}  #{describe(option)}".rstrip }
      <<~TEXT
        Usage: #{@program} [options] [words]

        #{rows.join("\n")}
      TEXT
    end

    private

    # Stores the value of one option and removes it from the queue when it stands in a word of its own.
    def take(argument, queue, values)
      name, inline = argument.split("=", 2)
      negated = name.start_with?("--no-")
      option = find(name)
      if option.switch?
        raise UsageError, "#{name} takes no value" if inline

        values[option.name] = !negated
      else
        text = inline || queue.shift
        raise UsageError, "#{name} needs a value" if text.nil?

        values[option.name] = option.convert(text)
      end
    end

    # Finds the declared option for a long or short name and suggests a similar one if there is none.
    def find(text)
      wanted = text.delete_prefix("--no-").delete_prefix("--").tr("-", "_").to_sym
      found = @options[wanted] || @options.values.find { |option| "-#{option.short}" == text }
      return found if found

      hint = @options.keys.find { |name| name.to_s.start_with?(wanted.to_s[0, 3]) }
      raise UsageError, "unknown option #{text}#{hint && ", did you mean --#{hint.to_s.tr('_', '-')}?"}"
    end

    # Raises UsageError if a required option has no value.
    def check_required(values)
      missing = @options.values.select { |option| option.required && values[option.name].nil? }
      return if missing.empty?

      raise UsageError, "missing #{missing.map { |option| "--#{option.name}" }.join(', ')}"
    end

    # Appends the default value to the help of an option if it has one worth showing.
    def describe(option)
      option.default ? "#{option.help} (default: #{option.default})" : option.help
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  parser = DemoOptions::Parser.new("pack") do |o|
    o.option(:level, type: :integer, short: "l", default: 3, help: "Strength")
    o.option(:out_dir, required: true, help: "Target folder")
    o.option(:skip, type: :list)
    o.switch(:verbose, short: "v", help: "Say more")
  end
  values, words = parser.parse(%w[a.txt -l 9 --out-dir=build --skip x,y -v -- --raw])
  raise "values" unless values == { level: 9, out_dir: "build", skip: %w[x y], verbose: true }
  raise "words" unless words == %w[a.txt --raw]
  raise "negated" if parser.parse(%w[-v --no-verbose --out-dir o]).first[:verbose]
  raise "help" unless parser.help.include?("-l, --level INTEGER  Strength (default: 3)")
  {
    %w[--out-dir o --level many] => "wants integer",
    %w[--out-dir] => "needs a value",
    %w[--verbos] => "did you mean --verbose?",
    %w[--verbose=1] => "takes no value",
    [] => "missing --out_dir"
  }.each do |arguments, text|
    parser.parse(arguments)
    raise "no error"
  rescue DemoOptions::UsageError => e
    raise "text: #{e.message}" unless e.message.include?(text)
  end
  numbers = DemoOptions::Parser.new("scale") { |o| o.option(:ratio, type: :float) }
  raise "float" unless numbers.parse(%w[--ratio 0.5]) == [{ ratio: 0.5 }, []]
end

# frozen_string_literal: true

# A schema language that checks nested data and fills in default values.

module DemoSchema
  # Raised by check! with all violations at once.
  class Violation < StandardError
    attr_reader :problems

    # Joins the problems to one message.
    def initialize(problems)
      @problems = problems
      super(problems.join("; "))
    end
  end

  # Checks one value.
  class Type
    # Takes the name used in messages and a test for values.
    def initialize(name, **options, &test)
      @name = name
      @options = options
      @test = test
    end

    # Returns a list of problems, each one prefixed with the path of the value.
    def problems(value, path)
      return ["#{path} must be #{@name}, got #{value.inspect}"] unless @test.call(value)

      option_problems(value).map { |text| "#{path} #{text}" }
    end

    # Gives back the value itself; types with parts override this to fill in defaults.
    def complete(value) = value

    private

    # Compares the value with the limits min, max, one_of and pattern as far as they are set.
    def option_problems(value)
      size = value.respond_to?(:length) ? value.length : value
      found = []
      found << "must be at least #{@options[:min]}" if @options[:min] && size < @options[:min]
      found << "must be at most #{@options[:max]}" if @options[:max] && size > @options[:max]
      found << "must be one of #{@options[:one_of].join(', ')}" unless @options.fetch(:one_of, [value]).include?(value)
      found << "must match #{@options[:pattern].inspect}" unless @options.fetch(:pattern, //).match?(value.to_s)
      found
    end
  end

  # Checks each element of an array.
  class ListType < Type
    # Wraps the type of the elements.
    def initialize(element, **options)
      super("a list", **options) { |value| value.is_a?(Array) }
      @element = element
    end

    # Collects the problems of the list itself and of its elements.
    def problems(value, path)
      own = super
      return own unless value.is_a?(Array)

      own + value.each_with_index.flat_map { |item, index| @element.problems(item, "#{path}[#{index}]") }
    end

    # Completes every element.
    def complete(value)
      value.map { |item| @element.complete(item) }
    end
  end

  # Checks the fields of a hash.
  class RecordType < Type
    Field = Struct.new(:type, :required, :default)

    # Declares the fields by evaluating the block inside the new type.
    def initialize(&declaration)
      super("a record") { |value| value.is_a?(Hash) }
      @fields = {}
      instance_eval(&declaration)
    end

    # Declares a text field.
    def string(name, required: true, default: nil, **options)
      field(name, Type.new("a text", **options) { |value| value.is_a?(String) }, required, default)
    end

    # Declares a field for whole numbers.
    def integer(name, required: true, default: nil, **options)
      field(name, Type.new("a whole number", **options) { |value| value.is_a?(Integer) }, required, default)
    end

    # Declares a field that is either true or false.
    def flag(name, default: false)
      field(name, Type.new("true or false") { |value| [true, false].include?(value) }, false, default)
    end

    # Declares a nested record with fields of its own.
    def record(name, required: true, &declaration)
      field(name, RecordType.new(&declaration), required, nil)
    end

    # Declares a list of texts, or of records if a block is given.
    def list(name, required: false, **options, &declaration)
      element = declaration ? RecordType.new(&declaration) : Type.new("a text") { |value| value.is_a?(String) }
      field(name, ListType.new(element, **options), required, [])
    end

    # Finds missing, unknown and wrong fields.
    def problems(value, path)
      own = super
      return own unless value.is_a?(Hash)

      unknown = (value.keys - @fields.keys).map { |name| "#{join(path, name)} is unknown" }
      own + unknown + @fields.flat_map do |name, field|
        next field.type.problems(value[name], join(path, name)) if value.key?(name)

        field.required && field.default.nil? ? ["#{join(path, name)} is missing"] : []
      end
    end

    # Returns a copy of the hash with default values for the fields that are absent.
    def complete(value)
      @fields.each_with_object({}) do |(name, field), result|
        if value.key?(name)
          result[name] = field.type.complete(value[name])
        elsif !field.default.nil?
          result[name] = field.default.dup
        end
      end
    end

    # Returns the completed data or raises Violation if anything is wrong with it.
    def check!(data)
      found = problems(data, "")
      raise Violation, found unless found.empty?

      complete(data)
    end

    # Tells whether the data has no problems.
    def valid?(data) = problems(data, "").empty?

    private

    # Stores the declaration of a field.
    def field(name, type, required, default)
      @fields[name] = Field.new(type, required, default)
    end

    # Extends a path by the name of a field.
    def join(path, name)
      path.empty? ? name.to_s : "#{path}.#{name}"
    end
  end

  # Defines a schema for a record.
  def self.define(&declaration) = RecordType.new(&declaration)
end

if __FILE__ == $PROGRAM_NAME
  schema = DemoSchema.define do
    string :name, min: 2, pattern: /\A[a-z]+\z/
    integer :port, min: 1, max: 65_535, default: 80
    flag :secure
    string :mode, required: false, one_of: %w[fast safe]
    record :owner do
      string :email
    end
    list :tags, max: 2
    list :rules do
      string :path
      flag :deny, default: true
    end
  end
  data = { name: "web", owner: { email: "a@b" }, rules: [{ path: "/" }] }
  expected = { name: "web", port: 80, secure: false, owner: { email: "a@b" }, tags: [],
               rules: [{ path: "/", deny: true }] }
  raise "complete" unless schema.check!(data) == expected && schema.valid?(data)
  wrong = { name: "W", port: 0, secure: 1, mode: "slow", owner: {}, tags: ["a", 2], rules: [{ paht: "" }], x: 1 }
  begin
    schema.check!(wrong)
    raise "no error"
  rescue DemoSchema::Violation => e
    raise "problems: #{e.problems}" unless e.problems == [
      "x is unknown", "name must be at least 2", "name must match /\\A[a-z]+\\z/", "port must be at least 1",
      "secure must be true or false, got 1", "mode must be one of fast, safe", "owner.email is missing",
      "tags[1] must be a text, got 2", "rules[0].paht is unknown", "rules[0].path is missing"
    ]
  end
  raise "type" unless schema.problems([], "config") == ["config must be a record, got []"]
end

# frozen_string_literal: true

# Typed attributes, validations and callbacks for plain objects.

module DemoModel
  # Raised when an invalid object is saved with save!.
  class RecordInvalid < StandardError; end

  # Error messages, grouped by attribute.
  class Errors
    include Enumerable

    # Starts without any messages.
    def initialize
      @messages = Hash.new { |hash, key| hash[key] = [] }
    end

    # Adds a message to an attribute.
    def add(attribute, message)
      @messages[attribute] << message
      self
    end

    # Returns the messages of one attribute.
    def [](attribute) = @messages.fetch(attribute, [])

    # Tells whether there are no messages at all.
    def empty? = @messages.values.all?(&:empty?)

    # Yields attribute and message of every error.
    def each
      return enum_for(:each) unless block_given?

      @messages.each { |attribute, list| list.each { |message| yield attribute, message } }
    end

    # Turns all errors into sentences such as "First name is missing".
    def full_messages
      map { |attribute, message| "#{attribute.to_s.tr('_', ' ').capitalize} #{message}" }
    end
  end

  # Makes the class methods available to classes that include the module.
  def self.included(base)
    base.extend(ClassMethods)
  end

  # Declarations for the model class.
  module ClassMethods
    CASTS = {
      string: :to_s.to_proc,
      integer: ->(value) { Integer(value.to_s, 10, exception: false) },
      float: ->(value) { Float(value, exception: false) },
      boolean: ->(value) { [true, "true", "1", 1].include?(value) }
    }.freeze

    # Declares an attribute with a type, defines its reader and its casting writer, and remembers its default.
    def attribute(name, type = :string, default: nil)
      cast = CASTS.fetch(type)
      attributes[name] = default
      attr_reader name

      define_method("#{name}=") do |value|
        instance_variable_set("@#{name}", value.nil? ? nil : cast.call(value))
      end
      define_method("#{name}?") { ![nil, false, "", 0].include?(public_send(name)) }
    end

    # Returns the declared attributes with their default values.
    def attributes
      @attributes ||= superclass.respond_to?(:attributes) ? superclass.attributes.dup : {}
    end

    # Adds checks for one or more attributes; each keyword names a kind of check.
    def validates(*names, **checks)
      names.each { |name| validations << [name, checks] }
    end

    # Lists the checks in the order of their declaration.
    def validations
      @validations ||= superclass.respond_to?(:validations) ? superclass.validations.dup : []
    end

    # Registers a block that is run in the object before it is saved.
    def before_save(&block)
      callbacks << block
    end

    # Holds the blocks to be run before saving.
    def callbacks = (@callbacks ||= [])
  end

  # Creates an object from a hash and fills what is missing with default values.
  def initialize(values = {})
    assign(self.class.attributes.merge(values.transform_keys(&:to_sym)))
  end

  # Sets several attributes at once and raises ArgumentError for a name that was not declared.
  def assign(values)
    values.each do |name, value|
      raise ArgumentError, "#{self.class} has no attribute #{name}" unless self.class.attributes.key?(name)

      public_send("#{name}=", value)
    end
    self
  end

  # Returns the messages of the last validation.
  def errors = (@errors ||= Errors.new)

  # Runs all checks afresh and tells whether none of them complained.
  def valid?
    @errors = Errors.new
    self.class.validations.each do |name, checks|
      value = public_send(name)
      checks.each { |kind, rule| check(name, value, kind, rule) }
    end
    @errors.empty?
  end

  # Runs the callbacks and marks the object as saved if it is valid, otherwise returns false.
  def save
    return false unless valid?

    self.class.callbacks.each { |callback| instance_exec(&callback) }
    @saved = true
  end

  # Saves the object or raises RecordInvalid with all messages in one sentence.
  def save!
    save or raise RecordInvalid, errors.full_messages.join("; ")
  end

  # Checks whether the object has been saved.
  def persisted? = @saved == true

  # Collects the current values of all attributes in a hash.
  def to_h
    self.class.attributes.keys.to_h { |name| [name, public_send(name)] }
  end

  private

  # Applies one check to a value and adds an error if it fails.
  def check(name, value, kind, rule)
    case kind
    when :presence then errors.add(name, "is missing") if rule && value.to_s.strip.empty?
    when :format then errors.add(name, "has the wrong form") unless value.to_s.match?(rule)
    when :length then errors.add(name, "must have #{rule} characters") unless rule.cover?(value.to_s.length)
    when :inclusion then errors.add(name, "must be one of #{rule.join(', ')}") unless rule.include?(value)
    when :range then errors.add(name, "must lie in #{rule}") unless value && rule.cover?(value)
    else raise ArgumentError, "unknown check #{kind}"
    end
  end
end

# A person as an example of a model.
class DemoPerson
  include DemoModel

  attribute :first_name
  attribute :age, :integer
  attribute :role, default: "reader"
  attribute :active, :boolean, default: true

  validates :first_name, presence: true, length: 2..20
  validates :age, range: 0..150
  validates :role, inclusion: %w[reader writer]

  before_save { self.first_name = first_name.strip.capitalize }
end

if __FILE__ == $PROGRAM_NAME
  person = DemoPerson.new("first_name" => "ada", age: "36")
  raise "cast" unless person.age == 36 && person.active? && person.role == "reader"
  raise "save" unless person.save && person.persisted? && person.first_name == "Ada"
  raise "to_h" unless person.to_h == { first_name: "Ada", age: 36, role: "reader", active: true }
  wrong = DemoPerson.new(first_name: " ", age: "old", role: "king")
  raise "invalid" if wrong.save
  raise "messages" unless wrong.errors[:first_name].first == "is missing"
  raise "count" unless wrong.errors.count == 4
  begin
    wrong.save!
    raise "no error"
  rescue DemoModel::RecordInvalid => e
    raise "text" unless e.message.start_with?("First name is missing; First name must have 2..20")
  end
  begin
    DemoPerson.new(height: 3)
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message == "DemoPerson has no attribute height"
  end
  place = Class.new do
    include DemoModel

    attribute :code
    attribute :height, :float
    validates :code, format: /\A[A-Z]{2}\z/
  end
  raise "float" unless place.new(height: "8.5").height == 8.5 && place.new(height: 2).height?
  raise "format" unless place.new(code: "DE").valid? && !place.new(code: "de").valid?
end

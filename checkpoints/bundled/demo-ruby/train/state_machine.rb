# frozen_string_literal: true

# A mixin that gives a class named states and events that move between them.

module DemoStates
  # Raised when an event is not possible in the current state.
  class InvalidTransition < StandardError; end

  # The states and events declared by one class.
  class Definition
    attr_reader :initial, :events

    # Starts with the initial state and no events.
    def initialize(initial)
      @initial = initial
      @events = Hash.new { |hash, name| hash[name] = {} }
      @guards = {}
      @callbacks = Hash.new { |hash, state| hash[state] = [] }
    end

    # Declares that an event leads from one or several states to another one, if the guard permits it.
    def event(name, from:, to:, guard: nil)
      Array(from).each { |state| @events[name][state] = to }
      @guards[name] = guard if guard
    end

    # Registers a block that is run in the object whenever it enters the state.
    def on_enter(state, &block)
      @callbacks[state] << block
    end

    # Lists all states that appear in any transition, beginning with the initial one.
    def states
      pairs = @events.values.flat_map(&:to_a)
      [@initial, *pairs.flatten].uniq
    end

    # Returns the state an event leads to, or nil if the event is not possible or the guard refuses.
    def target(name, state, object)
      guard = @guards[name]
      return nil if guard && !object.instance_exec(&guard)

      @events[name][state]
    end

    # Runs the callbacks of a state inside the given object.
    def entered(state, object)
      @callbacks[state].each { |callback| object.instance_exec(&callback) }
    end

    # Draws all transitions as lines of the form "from --event--> to".
    def to_s
      @events.flat_map do |name, moves|
        moves.map { |from, to| "#{from} --#{name}--> #{to}" }
      end.join("\n")
    end
  end

  # Adds the class methods when the module is included.
  def self.included(base)
    super
    base.extend(ClassMethods)
  end

  # Methods for the class that declares the states.
  module ClassMethods
    # Declares the states of the class and defines two methods for each event and one for each state.
    def state_machine(initial:, &block)
      @definition = Definition.new(initial)
      @definition.instance_eval(&block)
      @definition.events.each_key do |event|
        define_method("#{event}!") { fire!(event) }
        define_method("can_#{event}?") { !self.class.definition.target(event, state, self).nil? }
      end
      @definition.states.each { |name| define_method("#{name}?") { state == name } }
    end

    # Gives access to the declaration, which subclasses inherit.
    def definition
      @definition || superclass.definition
    end
  end

  # Returns the current state of the object.
  def state
    @state ||= self.class.definition.initial
  end

  # Lists the states the object has been in before the current one.
  def state_history
    @state_history ||= []
  end

  # Moves the object along an event and runs the callbacks of the new state.
  #
  # Raises InvalidTransition if the event is not possible.
  def fire!(event)
    target = self.class.definition.target(event, state, self)
    raise InvalidTransition, "cannot #{event} while #{state}" unless target

    state_history << state
    @state = target
    self.class.definition.entered(target, self)
    self
  end

  # Names the events that could be fired right now.
  def available_events
    self.class.definition.events.keys.select do |event|
      self.class.definition.target(event, state, self)
    end
  end
end

# A door that can only be opened when it is not locked.
class DemoDoor
  include DemoStates

  attr_accessor :key
  attr_reader :log

  state_machine(initial: :closed) do
    event :open, from: :closed, to: :opened
    event :close, from: :opened, to: :closed
    event :lock, from: :closed, to: :locked, guard: -> { key }
    event :unlock, from: :locked, to: :closed, guard: -> { key }
    on_enter(:locked) { (@log ||= []) << "click" }
  end
end

if __FILE__ == $PROGRAM_NAME
  door = DemoDoor.new
  raise "initial" unless door.closed? && door.available_events == [:open]
  door.open!
  raise "opened" unless door.opened? && !door.can_open?
  begin
    door.lock!
    raise "no error"
  rescue DemoStates::InvalidTransition => e
    raise "text" unless e.message == "cannot lock while opened"
  end
  door.close!.key = true
  raise "guard" unless door.can_lock?
  door.lock!
  raise "callback" unless door.locked? && door.log == ["click"]
  raise "history" unless door.state_history == %i[closed opened closed]
  raise "states" unless DemoDoor.definition.states == %i[closed opened locked]
  raise "draw" unless DemoDoor.definition.to_s.include?("closed --lock--> locked")
  raise "inherited" unless Class.new(DemoDoor).new.closed?
  door.unlock!
  raise "unlocked" unless door.closed? && !door.can_close?
end

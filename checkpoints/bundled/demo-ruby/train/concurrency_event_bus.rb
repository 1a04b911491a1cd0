# frozen_string_literal: true

# A publish and subscribe bus, and a debouncer that works on a given clock.

require "monitor"

module DemoBus
  # A handle that ends a subscription.
  class Subscription
    attr_reader :pattern, :priority

    # Keeps the pattern of event names and the block that handles them.
    def initialize(pattern, priority, once, handler)
      @pattern = pattern
      @priority = priority
      @once = once
      @handler = handler
      @active = true
    end

    # Checks whether the subscription is active and its pattern fits the event name.
    #
    # A star in the pattern stands for one part of the name between dots.
    def match?(name)
      return false unless @active

      wanted = pattern.split(".")
      given = name.split(".")
      wanted.size == given.size && wanted.zip(given).all? { |a, b| a == "*" || a == b }
    end

    # Hands an event to the block and ends the subscription if it was meant for one event only.
    def deliver(name, payload)
      cancel if @once
      @handler.call(name, payload)
    end

    # Ends the subscription; later events are ignored.
    def cancel
      @active = false
    end

    # Tells whether events are still delivered.
    def active? = @active
  end

  # Delivers events to subscribers in the order of their priority.
  class Bus
    attr_reader :errors

    # Creates a bus without subscribers.
    def initialize
      @subscriptions = []
      @errors = []
      @lock = Monitor.new
    end

    # Calls the block for each event whose name fits the pattern; higher priorities come first.
    def subscribe(pattern, priority: 0, once: false, &handler)
      raise ArgumentError, "a block is needed to handle #{pattern}" unless handler

      subscription = Subscription.new(pattern, priority, once, handler)
      @lock.synchronize { @subscriptions << subscription }
      subscription
    end

    # Handles only the next event that fits the pattern.
    def once(pattern, &handler) = subscribe(pattern, once: true, &handler)

    # Publishes an event and returns the number of subscribers that received it.
    #
    # An error in one subscriber is collected and does not keep the others from being called.
    def publish(name, **payload)
      receivers(name).count do |subscription|
        subscription.deliver(name, payload)
        true
      rescue StandardError => e
        @errors << [name, e]
        false
      end
    end

    # Counts the subscriptions that are still active.
    def size
      @lock.synchronize { @subscriptions.count(&:active?) }
    end

    # Forgets cancelled subscriptions to free their memory.
    def compact!
      @lock.synchronize { @subscriptions.select!(&:active?) }
      self
    end

    # Records all events of a pattern while the block runs and returns them.
    def capture(pattern)
      seen = []
      subscription = subscribe(pattern) { |name, payload| seen << [name, payload] }
      yield
      seen
    ensure
      subscription&.cancel
    end

    private

    # Selects the subscriptions for an event name and sorts them by descending priority.
    def receivers(name)
      matching = @lock.synchronize { @subscriptions.select { |subscription| subscription.match?(name) } }
      matching.each_with_index.sort_by { |subscription, index| [-subscription.priority, index] }.map(&:first)
    end
  end

  # Passes on only the last of several calls that follow each other quickly.
  class Debouncer
    # Takes the quiet time in seconds, a clock and the action to run.
    def initialize(quiet, clock:, &action)
      @quiet = quiet
      @clock = clock
      @action = action
      @pending = nil
    end

    # Remembers the arguments of a call and restarts the quiet time.
    def call(*arguments)
      @pending = [@clock.call, arguments]
    end

    # Runs the action if the quiet time is over and tells whether it ran.
    def tick
      return false unless @pending && @clock.call - @pending.first >= @quiet

      flush
    end

    # Runs a waiting action at once and tells whether there was one.
    def flush
      return false unless @pending

      _, arguments = @pending
      @pending = nil
      @action.call(*arguments)
      true
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  bus = DemoBus::Bus.new
  heard = []
  bus.subscribe("user.*") { |name, payload| heard << "#{name}:#{payload[:id]}" }
  bus.subscribe("user.created", priority: 5) { heard << "first" }
  bus.once("user.created") { heard << "once" }
  raise "count" unless bus.publish("user.created", id: 1) == 3
  raise "order" unless heard == %w[first user.created:1 once]
  raise "once" unless bus.publish("user.created", id: 2) == 2
  raise "size" unless bus.size == 2 && bus.compact!.size == 2
  bus.subscribe("job.failed") { raise "oops" }
  raise "errors" unless bus.publish("job.failed").zero? && bus.errors.first.last.message == "oops"
  seen = bus.capture("*.deleted") { bus.publish("user.deleted", id: 3) }
  raise "capture" unless seen == [["user.deleted", { id: 3 }]] && bus.publish("x.deleted").zero?
  now = 0.0
  saved = []
  debouncer = DemoBus::Debouncer.new(1.0, clock: -> { now }) { |text| saved << text }
  debouncer.call("a")
  now = 0.5
  debouncer.call("b")
  now = 1.2
  raise "too early" if debouncer.tick
  now = 1.5
  raise "debounced" unless debouncer.tick && saved == ["b"]
  raise "empty" if debouncer.flush
end

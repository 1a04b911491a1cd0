# frozen_string_literal: true

# Event sourcing: an append-only store, an account rebuilt from its events, and a projection.

module DemoEvents
  # Raised when somebody else has written to the stream in the meantime.
  class Conflict < StandardError; end

  # Raised when a command breaks a rule of the account.
  class Rejected < StandardError; end

  Event = Struct.new(:stream, :version, :type, :data, keyword_init: true)

  # Keeps all events in memory.
  class Store
    # Creates a store without events or subscribers.
    def initialize
      @events = []
      @subscribers = []
    end

    # Appends events to a stream if its version is still the expected one.
    #
    # Raises Conflict otherwise, so that no change is lost.
    def append(stream, pairs, expected_version:)
      actual = version(stream)
      unless actual == expected_version
        raise Conflict, "#{stream} is at version #{actual}, expected #{expected_version}"
      end

      fresh = pairs.each_with_index.map do |(type, data), index|
        Event.new(stream: stream, version: actual + index + 1, type: type, data: data).freeze
      end
      @events.concat(fresh)
      fresh.each { |event| @subscribers.each { |subscriber| subscriber.call(event) } }
    end

    # Returns the number of the latest event of a stream, zero for an unknown stream.
    def version(stream)
      read(stream).last&.version || 0
    end

    # Reads the events of a stream after the given version.
    def read(stream, after: 0)
      @events.select { |event| event.stream == stream && event.version > after }
    end

    # Calls the block for all events of the past and then for each new one.
    def subscribe(&block)
      @events.each(&block)
      @subscribers << block
    end
  end

  # An account whose balance is derived from its events.
  class Account
    attr_reader :id, :balance, :version, :changes

    # Rebuilds an account from a snapshot, if there is one, and the events after it.
    def self.load(store, id, snapshot: nil)
      account = new(id)
      account.restore(snapshot) if snapshot
      store.read(id, after: account.version).each { |event| account.replay(event) }
      account
    end

    # Creates an account without any history.
    def initialize(id)
      @id = id
      @balance = 0
      @version = 0
      @closed = false
      @changes = []
    end

    # Pays money into the account.
    def deposit(amount)
      reject("amount must be positive") unless amount.positive?
      record(:deposited, amount: amount)
    end

    # Takes money from the account if the balance is sufficient.
    def withdraw(amount)
      reject("balance #{balance} is less than #{amount}") if amount > balance
      record(:withdrawn, amount: amount)
    end

    # Closes the account, which must be empty.
    def close
      reject("balance must be zero") unless balance.zero?
      record(:closed)
    end

    # Tells whether the account has been closed.
    def closed? = @closed

    # Writes the unsaved changes to the store and forgets them.
    def save(store)
      store.append(id, changes, expected_version: version)
      @version += changes.size
      @changes = []
      self
    end

    # Applies an event from the store and takes over its version.
    def replay(event)
      apply(event.type, event.data)
      @version = event.version
    end

    # Captures the state in a hash, so that older events need not be replayed.
    def snapshot
      { balance: balance, version: version, closed: closed? }
    end

    # Takes over the state from a snapshot.
    def restore(snapshot)
      @balance, @version, @closed = snapshot.values_at(:balance, :version, :closed)
    end

    private

    # Remembers a new event and applies it at once.
    def record(type, **data)
      reject("account is closed") if closed?
      apply(type, data)
      @changes << [type, data]
      self
    end

    # Changes the state according to the type of an event.
    def apply(type, data)
      case type
      when :deposited then @balance += data[:amount]
      when :withdrawn then @balance -= data[:amount]
      when :closed then @closed = true
      end
    end

    # Raises Rejected with the name of the account and the reason.
    def reject(reason)
      raise Rejected, "#{id}: #{reason}"
    end
  end

  # A read model with the turnover of each account.
  class Turnover
    # Subscribes to the store and starts counting.
    def initialize(store)
      @sums = Hash.new(0)
      store.subscribe { |event| @sums[event.stream] += event.data.fetch(:amount, 0) }
    end

    # Returns the account with the highest turnover and the amount.
    def top = @sums.max_by(&:last)

    # Looks up the turnover of one account without adding it to the table.
    def [](id) = @sums.fetch(id, 0)
  end
end

if __FILE__ == $PROGRAM_NAME
  store = DemoEvents::Store.new
  account = DemoEvents::Account.new("acc-1").deposit(100).withdraw(30).save(store)
  raise "saved" unless account.version == 2 && account.changes.empty?
  turnover = DemoEvents::Turnover.new(store)
  snapshot = account.snapshot
  account.deposit(5).save(store)
  loaded = DemoEvents::Account.load(store, "acc-1", snapshot: snapshot)
  raise "loaded" unless loaded.balance == 75 && loaded.version == 3
  raise "turnover" unless turnover["acc-1"] == 135 && turnover.top == ["acc-1", 135] && turnover["x"].zero?
  account.withdraw(75).close.save(store)
  raise "closed" unless DemoEvents::Account.load(store, "acc-1").closed?
  begin
    loaded.deposit(1).save(store)
    raise "no error"
  rescue DemoEvents::Conflict => e
    raise "text" unless e.message == "acc-1 is at version 5, expected 3"
  end
  begin
    loaded.withdraw(1000)
    raise "no error"
  rescue DemoEvents::Rejected => e
    raise "text" unless e.message == "acc-1: balance 76 is less than 1000"
  end
end

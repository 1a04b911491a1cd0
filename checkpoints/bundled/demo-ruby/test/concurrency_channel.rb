# frozen_string_literal: true

# Channels between threads, a read-write lock, and a barrier.

module DemoChannel
  # Raised when something is sent into a closed channel.
  class Closed < StandardError; end

  # A queue with limited room that blocks senders when full and receivers when empty.
  class Channel
    include Enumerable

    # Creates a channel with room for the given number of messages.
    def initialize(capacity = 1)
      raise ArgumentError, "capacity must be positive, got #{capacity}" unless capacity.positive?

      @capacity = capacity
      @messages = []
      @closed = false
      @mutex = Mutex.new
      @not_empty = ConditionVariable.new
      @not_full = ConditionVariable.new
    end

    # Sends a message and waits while there is no room for it.
    def push(message)
      @mutex.synchronize do
        @not_full.wait(@mutex) while @messages.size >= @capacity && !@closed
        raise Closed, "cannot send into a closed channel" if @closed

        @messages << message
        @not_empty.signal
      end
      self
    end
    alias << push

    # Sends a message only if this is possible without waiting and reports whether it was.
    def offer(message)
      @mutex.synchronize do
        return false if @closed || @messages.size >= @capacity

        @messages << message
        @not_empty.signal
      end
      true
    end

    # Takes the oldest message and waits for one if necessary.
    #
    # Returns the default value once the channel is closed and empty.
    def receive(default = nil)
      @mutex.synchronize do
        @not_empty.wait(@mutex) while @messages.empty? && !@closed
        return default if @messages.empty?

        @not_full.signal
        @messages.shift
      end
    end

    # Removes and returns all waiting messages at once.
    def drain
      @mutex.synchronize do
        @not_full.broadcast
        @messages.slice!(0..)
      end
    end

    # Closes the channel and wakes up all threads that wait for it.
    def close
      @mutex.synchronize do
        @closed = true
        @not_empty.broadcast
        @not_full.broadcast
      end
      self
    end

    # Tells whether the channel no longer accepts messages.
    def closed? = @mutex.synchronize { @closed }

    # Yields messages as they come in until the channel is closed.
    def each
      done = Object.new
      until (message = receive(done)).equal?(done)
        yield message
      end
    end

    # Starts a thread that passes the messages through the block into a new channel.
    def pipe(capacity = 1)
      target = Channel.new(capacity)
      Thread.new do
        each { |message| target << yield(message) }
      ensure
        target.close
      end
      target
    end

    # Forwards the messages of several channels into one, in no particular order.
    def self.merge(*sources)
      target = new(sources.size)
      threads = sources.map { |source| Thread.new { source.each { |message| target << message } } }
      Thread.new do
        threads.each(&:join)
        target.close
      end
      target
    end
  end

  # Lets many threads read at the same time, but only one write.
  class ReadWriteLock
    # Creates a lock that nobody holds.
    def initialize
      @readers = 0
      @writing = false
      @mutex = Mutex.new
      @free = ConditionVariable.new
    end

    # Runs the block while no other thread writes.
    def read
      @mutex.synchronize do
        @free.wait(@mutex) while @writing
        @readers += 1
      end
      yield
    ensure
      @mutex.synchronize { (@readers -= 1).zero? && @free.broadcast }
    end

    # Runs the block while no other thread reads or writes.
    def write
      @mutex.synchronize do
        @free.wait(@mutex) while @writing || @readers.positive?
        @writing = true
      end
      yield
    ensure
      @mutex.synchronize do
        @writing = false
        @free.broadcast
      end
    end
  end

  # Holds threads back until all members of a group have arrived.
  class Barrier
    # Sets the size of the group; the block is run once per round by the last thread to arrive.
    def initialize(parties, &action)
      @parties = parties
      @action = action
      @waiting = 0
      @round = 0
      @mutex = Mutex.new
      @complete = ConditionVariable.new
    end

    # Waits for the others and returns the number of the finished round.
    def wait
      @mutex.synchronize do
        round = @round
        @waiting += 1
        if @waiting == @parties
          finish_round
        else
          @complete.wait(@mutex) while round == @round
        end
        round
      end
    end

    private

    # Runs the action, begins a new round and lets the waiting threads go.
    def finish_round
      @action&.call
      @waiting = 0
      @round += 1
      @complete.broadcast
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  channel = DemoChannel::Channel.new(2)
  producer = Thread.new do
    (1..20).each { |n| channel << n }
    channel.close
  end
  raise "pipe" unless channel.pipe { |n| n * 2 }.pipe { |n| n + 1 }.to_a == (1..20).map { |n| (n * 2) + 1 }
  producer.join
  begin
    channel << 1
    raise "no error"
  rescue DemoChannel::Closed => e
    raise "text" unless channel.closed? && e.message.include?("closed channel")
  end
  small = DemoChannel::Channel.new(1)
  raise "offer" unless small.offer(:a) && !small.offer(:b) && small.drain == [:a]
  raise "default" unless small.close.receive(:none) == :none
  sources = [1..3, 4..6].map { |range| DemoChannel::Channel.new(3).tap { |c| range.each { |n| c << n } }.close }
  raise "merge" unless DemoChannel::Channel.merge(*sources).sort == [1, 2, 3, 4, 5, 6]
  lock = DemoChannel::ReadWriteLock.new
  total = 0
  Array.new(4) { Thread.new { 50.times { lock.write { total += 1 } } } }.each(&:join)
  raise "lock" unless lock.read { total } == 200
  nested = lock.read { Thread.new { lock.read { :both } }.value }
  raise "readers" unless nested == :both
  rounds = 0
  barrier = DemoChannel::Barrier.new(3) { rounds += 1 }
  results = Array.new(3) { Thread.new { [barrier.wait, barrier.wait] } }.map(&:value)
  raise "barrier" unless rounds == 2 && results == [[0, 1]] * 3
end

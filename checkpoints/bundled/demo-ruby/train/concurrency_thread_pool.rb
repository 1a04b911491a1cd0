# frozen_string_literal: true

# Futures, a latch and a pool of worker threads.

module DemoPool
  # Raised when work is handed to a pool that no longer takes any.
  class ClosedError < StandardError; end

  # A value that will be known later.
  class Future
    # Prepares a future without a value.
    def initialize
      @mutex = Mutex.new
      @changed = ConditionVariable.new
      @state = :pending
      @callbacks = []
    end

    # Sets the value and wakes up everyone who waits for it.
    def fulfill(value)
      settle(:fulfilled, value)
    end

    # Marks the future as failed with the given error.
    def fail(error)
      settle(:failed, error)
    end

    # Waits until the future is settled and returns its value or raises its error.
    #
    # Raises ThreadError if nothing has arrived after the given number of seconds.
    def value(timeout = nil)
      @mutex.synchronize do
        deadline = timeout && (Process.clock_gettime(Process::CLOCK_MONOTONIC) + timeout)
        while @state == :pending
          left = deadline && (deadline - Process.clock_gettime(Process::CLOCK_MONOTONIC))
          raise ThreadError, "no value after #{timeout} seconds" if left && left <= 0

          @changed.wait(@mutex, left)
        end
      end
      raise @result if @state == :failed

      @result
    end

    # Checks whether the future has a value or an error, without waiting.
    def settled?
      @mutex.synchronize { @state != :pending }
    end

    # Returns a new future with the value of this one after it went through the block.
    def then(&block)
      following = Future.new
      on_settled do |state, result|
        state == :failed ? following.fail(result) : following.fulfill(block.call(result))
      rescue StandardError => e
        following.fail(e)
      end
      following
    end

    # Collects the values of several futures in their order.
    def self.all(futures)
      futures.map(&:value)
    end

    private

    # Stores the outcome once; a second attempt to settle the future raises ThreadError.
    def settle(state, result)
      waiting = @mutex.synchronize do
        raise ThreadError, "future is already #{@state}" unless @state == :pending

        @state = state
        @result = result
        @changed.broadcast
        @callbacks
      end
      waiting.each { |callback| callback.call(state, result) }
      self
    end

    # Calls the block with state and result, now if they are known and otherwise as soon as they are.
    def on_settled(&block)
      late = @mutex.synchronize do
        @callbacks << block if @state == :pending
        @state != :pending
      end
      yield @state, @result if late
    end
  end

  # Lets threads wait until a number of events has happened.
  class Latch
    # Sets the number of events to wait for.
    def initialize(count)
      @count = count
      @mutex = Mutex.new
      @open = ConditionVariable.new
    end

    # Counts one event and opens the latch with the last one.
    def count_down
      @mutex.synchronize do
        @count -= 1 if @count.positive?
        @open.broadcast if @count.zero?
      end
    end

    # Blocks the calling thread until the latch is open.
    def wait
      @mutex.synchronize { @open.wait(@mutex) until @count.zero? }
    end

    # Reads how many events are still missing.
    def count = @mutex.synchronize { @count }
  end

  # A fixed number of threads that take jobs from a common queue.
  class Pool
    # Starts the worker threads.
    def initialize(size)
      @jobs = Thread::Queue.new
      @workers = Array.new(size) { Thread.new { work } }
    end

    # Creates a pool for the duration of the block and closes it afterwards.
    def self.open(size)
      pool = new(size)
      yield pool
    ensure
      pool&.close
    end

    # Queues a block and returns a future for what it will give back.
    def submit(&block)
      raise ClosedError, "the pool is closed" if @jobs.closed?

      future = Future.new
      @jobs << [block, future]
      future
    end

    # Applies the block to all items in parallel and returns the results in the order of the items.
    def map(items)
      futures = items.map { |item| submit { yield item } }
      Future.all(futures)
    end

    # Refuses further jobs and waits until the queued ones are done.
    def close
      @jobs.close
      @workers.each(&:join)
      self
    end

    private

    # Takes jobs from the queue until it is closed and empty.
    def work
      while (job = @jobs.pop)
        block, future = job
        begin
          future.fulfill(block.call)
        rescue StandardError => e
          future.fail(e)
        end
      end
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  squares = DemoPool::Pool.open(3) { |pool| pool.map(1..6) { |n| n * n } }
  raise "map" unless squares == [1, 4, 9, 16, 25, 36]
  pool = DemoPool::Pool.new(2)
  latch = DemoPool::Latch.new(2)
  first = pool.submit { latch.count_down; 20 }
  pool.submit { latch.count_down }
  latch.wait
  raise "latch" unless latch.count.zero?
  raise "then" unless first.then { |n| n + 1 }.then { |n| n * 2 }.value == 42
  broken = pool.submit { raise KeyError, "lost" }
  begin
    broken.then { 1 }.value
    raise "no error"
  rescue KeyError => e
    raise "text" unless e.message == "lost"
  end
  pool.close
  begin
    pool.submit { 1 }
    raise "no error"
  rescue DemoPool::ClosedError
    raise "settled" unless broken.settled?
  end
  begin
    DemoPool::Future.new.value(0)
    raise "no error"
  rescue ThreadError => e
    raise "text" unless e.message.include?("0 seconds")
  end
  begin
    first.then { raise IndexError, "late" }.value
    raise "no error"
  rescue IndexError => e
    raise "text" unless e.message == "late"
  end
end

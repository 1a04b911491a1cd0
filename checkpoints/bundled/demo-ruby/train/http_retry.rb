# frozen_string_literal: true

# Retries with growing pauses and a token bucket that limits the rate of calls.

module DemoRetry
  # Raised when every attempt has failed.
  class GaveUp < StandardError
    attr_reader :attempts

    # Builds the error with the number of attempts that were made.
    def initialize(attempts)
      @attempts = attempts
      super("gave up after #{attempts} attempts")
    end
  end

  # Decides how often and after which pause a block is tried again.
  class Policy
    # Takes the limits of the policy and an object that can sleep, so that tests need not wait.
    def initialize(tries: 3, base: 0.5, factor: 2.0, max: 10.0, on: [StandardError], sleeper: Kernel)
      raise ArgumentError, "tries must be positive, got #{tries}" unless tries.positive?

      @tries = tries
      @base = base
      @factor = factor
      @max = max
      @on = on
      @sleeper = sleeper
    end

    # Calls the block until it succeeds and returns its value.
    #
    # The block receives the number of the attempt, starting at one. Errors that the policy
    # does not list are raised at once; after the last attempt GaveUp is raised.
    def run
      attempt = 0
      begin
        attempt += 1
        yield attempt
      rescue *@on
        raise GaveUp, attempt if attempt >= @tries

        @sleeper.sleep(pause(attempt))
        retry
      end
    end

    # Computes the pause in seconds after the given attempt, limited by the maximum.
    def pause(attempt)
      [@base * (@factor**(attempt - 1)), @max].min
    end

    # Lists all pauses that the policy would make if every attempt failed.
    def schedule
      (1...@tries).map { |attempt| pause(attempt) }
    end

    # Adds up the seconds that are spent waiting in the worst case.
    def worst_case = schedule.sum
  end

  # A token bucket: each call takes a token, and tokens flow back at a constant rate.
  class RateLimiter
    # Starts with a full bucket; the clock is any object whose call method returns seconds.
    def initialize(rate:, capacity:, clock:)
      @rate = rate.to_f
      @capacity = capacity.to_f
      @clock = clock
      @tokens = @capacity
      @updated = clock.call
    end

    # Takes the given number of tokens if there are enough of them and reports whether it did.
    def allow?(cost = 1)
      refill
      return false if cost > @tokens

      @tokens -= cost
      true
    end

    # Returns the seconds until the given number of tokens will be available, zero if they are already.
    def wait_time(cost = 1)
      raise ArgumentError, "cost #{cost} exceeds capacity #{@capacity}" if cost > @capacity

      refill
      [(cost - @tokens) / @rate, 0.0].max
    end

    # Runs the block if a token is free and returns the fallback value otherwise.
    def throttle(fallback: nil)
      allow? ? yield : fallback
    end

    private

    # Adds the tokens that have flowed back since the last look at the clock.
    def refill
      now = @clock.call
      @tokens = [@tokens + ((now - @updated) * @rate), @capacity].min
      @updated = now
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  naps = []
  sleeper = Object.new
  sleeper.define_singleton_method(:sleep) { |seconds| naps << seconds }
  policy = DemoRetry::Policy.new(tries: 4, base: 1.0, max: 3.0, sleeper: sleeper)
  raise "schedule" unless policy.schedule == [1.0, 2.0, 3.0] && policy.worst_case == 6.0
  result = policy.run { |attempt| attempt < 3 ? raise("boom") : "ok #{attempt}" }
  raise "run" unless result == "ok 3" && naps == [1.0, 2.0]
  begin
    policy.run { raise "always" }
    raise "no error"
  rescue DemoRetry::GaveUp => e
    raise "attempts" unless e.attempts == 4
  end
  now = 0.0
  limiter = DemoRetry::RateLimiter.new(rate: 2, capacity: 2, clock: -> { now })
  raise "burst" unless limiter.allow? && limiter.allow? && !limiter.allow?
  raise "wait" unless limiter.wait_time == 0.5
  now = 0.5
  raise "throttle" unless limiter.throttle { :ran } == :ran
  raise "fallback" unless limiter.throttle(fallback: :busy) { :ran } == :busy
end

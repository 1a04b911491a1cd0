# frozen_string_literal: true

# Measures elapsed time with pauses, laps and a report of named sections.
class Stopwatch
  # Raised when the watch is asked for something that its state does not allow.
  class StateError < StandardError; end

  MONOTONIC = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }

  # Runs the block and returns its result together with the seconds it took.
  def self.measure(clock: MONOTONIC)
    started = clock.call
    result = yield
    [result, clock.call - started]
  end

  attr_reader :laps

  # Creates a stopped watch; the clock is a callable that returns seconds.
  def initialize(clock: MONOTONIC)
    @clock = clock
    reset!
  end

  # Starts or resumes the measurement and raises StateError if it is running already.
  def start
    raise StateError, "already running" if running?

    @started_at = @clock.call
    self
  end

  # Pauses the measurement and adds the time since the last start to the total.
  def stop
    raise StateError, "not running" unless running?

    @accumulated += @clock.call - @started_at
    @started_at = nil
    self
  end

  # Tells whether time is being counted at the moment.
  def running? = !@started_at.nil?

  # Returns the seconds measured so far, without the pauses.
  def elapsed
    running? ? @accumulated + @clock.call - @started_at : @accumulated
  end

  # Records the time since the previous lap and returns it.
  def lap
    split = elapsed - @laps.sum
    @laps << split
    split
  end

  # Sets the watch back to zero and throws the laps away.
  def reset!
    @accumulated = 0
    @started_at = nil
    @laps = []
    self
  end

  # Returns the shortest recorded lap with its number, counted from one, or nil without any lap.
  def fastest_lap
    @laps.each.with_index(1).min_by(&:first)
  end
end

# Collects how long the parts of a program take.
class Profiler
  Entry = Struct.new(:name, :calls, :seconds) do
    # Divides the total time by the number of calls.
    def mean
      seconds.fdiv(calls)
    end
  end

  def initialize(clock: Stopwatch::MONOTONIC)
    @clock = clock
    @entries = {}
    @stack = []
  end

  # Times the block under a name; sections that are nested get a path of names.
  def section(name)
    @stack.push(name)
    path = @stack.join("/")
    result, seconds = Stopwatch.measure(clock: @clock) { yield self }
    entry = (@entries[path] ||= Entry.new(path, 0, 0))
    entry.calls += 1
    entry.seconds += seconds
    result
  ensure
    @stack.pop
  end

  # Lists the entries by total time, the slowest first.
  def entries
    @entries.values.sort_by { |entry| -entry.seconds }
  end

  # Formats a line for each section with calls, total and mean time.
  def report
    entries.map do |entry|
      format("%-20s %4d calls %8.3f s %8.3f s/call", entry.name, entry.calls, entry.seconds, entry.mean)
    end.join("\n")
  end
end

# Counts down to a deadline.
class Countdown
  def initialize(seconds, clock: Stopwatch::MONOTONIC)
    @clock = clock
    @deadline = clock.call + seconds
  end

  # Returns the seconds that are left, but never less than zero.
  def remaining
    [@deadline - @clock.call, 0].max
  end

  # Checks whether the deadline has passed.
  def expired?
    remaining.zero?
  end

  # Postpones the deadline by some seconds.
  def extend_by(seconds)
    @deadline += seconds
    self
  end

  # Repeats the block until it returns a true value or the time is over; returns that value or nil.
  def poll
    until expired?
      result = yield remaining
      return result if result
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  now = 0
  clock = -> { now }
  watch = Stopwatch.new(clock: clock).start
  now = 3
  raise "lap" unless watch.lap == 3
  now = 5
  raise "stop" unless watch.stop.elapsed == 5 && !watch.running?
  now = 100
  watch.start
  now = 101
  raise "pause" unless watch.elapsed == 6 && watch.lap == 3 && watch.laps == [3, 3]
  raise "fastest" unless watch.fastest_lap == [3, 1] && watch.reset!.fastest_lap.nil?
  begin
    watch.stop
    raise "must not stop"
  rescue Stopwatch::StateError
    nil
  end
  raise "measure" unless Stopwatch.measure(clock: clock) { now += 2 } == [103, 2]
  profiler = Profiler.new(clock: clock)
  2.times { profiler.section("load") { |p| p.section("parse") { now += 4 } } }
  profiler.section("save") { now += 1 }
  raise "entries" unless profiler.entries.map(&:name).sort == %w[load load/parse save]
  raise "mean" unless profiler.entries.first.mean == 4.0
  raise "report" unless profiler.report.lines.last.start_with?("save                    1 calls")
  countdown = Countdown.new(10, clock: clock)
  raise "poll" unless countdown.poll { |left| (now += 3) && left < 5 && :done } == :done
  now += 3
  raise "expired" unless countdown.expired? && countdown.poll { true }.nil?
  raise "extend" unless countdown.extend_by(10).remaining == 8
end

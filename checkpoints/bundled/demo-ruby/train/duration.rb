# frozen_string_literal: true

# A span of time in seconds with arithmetic, parsing and formatting.
class Duration
  include Comparable

  UNITS = { w: 604_800, d: 86_400, h: 3_600, m: 60, s: 1 }.freeze
  NAMES = { w: "week", d: "day", h: "hour", m: "minute", s: "second" }.freeze
  ISO = /\AP(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?\z/

  class << self
    # Reads short notations such as "1h 30m" or "2d4h".
    #
    # Raises ArgumentError when the text contains anything else.
    def parse(text)
      unless text.match?(/\A\s*(\d+\s*[wdhms]\s*)+\z/)
        raise ArgumentError, "not a duration: #{text.inspect}"
      end

      new(text.scan(/(\d+)\s*([wdhms])/).sum { |amount, unit| amount.to_i * UNITS[unit.to_sym] })
    end

    # Reads the notation of ISO 8601 without years and months, for example "P1DT2H".
    def from_iso(text)
      match = ISO.match(text)
      raise ArgumentError, "not an ISO duration: #{text.inspect}" if match.nil? || match.captures.none?

      new(match.captures.zip(UNITS.values).sum { |amount, seconds| amount.to_i * seconds })
    end

    # Measures the time between two moments, no matter which one comes first.
    def between(from, to)
      new((to - from).abs)
    end

    # Creates a duration from any number of units given as keywords.
    def of(weeks: 0, days: 0, hours: 0, minutes: 0, seconds: 0)
      new([weeks, days, hours, minutes, seconds].zip(UNITS.values).sum { |amount, size| amount * size })
    end
  end

  attr_reader :seconds

  def initialize(seconds)
    @seconds = seconds
    freeze
  end

  # Compares durations by their length in seconds.
  def <=>(other)
    seconds <=> other.seconds if other.is_a?(Duration)
  end

  # Adds another duration and returns a new one.
  def +(other)
    Duration.new(seconds + other.seconds)
  end

  # Subtracts another duration; the result may be negative.
  def -(other)
    Duration.new(seconds - other.seconds)
  end

  # Multiplies the duration with a number.
  def *(other)
    Duration.new(seconds * other)
  end

  # Divides by a number, which gives a duration, or by a duration, which gives a ratio.
  def /(other)
    other.is_a?(Duration) ? seconds.fdiv(other.seconds) : Duration.new(seconds / other)
  end

  # Splits the duration into whole units, from weeks down to seconds.
  def parts
    rest = seconds.abs.floor
    UNITS.transform_values do |size|
      amount, rest = rest.divmod(size)
      amount
    end
  end

  # Formats the two largest parts in words, like "2 days and 3 hours".
  def in_words
    words = parts.reject { |_unit, amount| amount.zero? }.first(2).map do |unit, amount|
      "#{amount} #{NAMES[unit]}#{"s" unless amount == 1}"
    end
    words.empty? ? "0 seconds" : words.join(" and ")
  end

  # Formats hours, minutes and seconds with colons, like a digital clock.
  def to_clock
    minutes, rest = seconds.abs.floor.divmod(60)
    hours, minutes = minutes.divmod(60)
    format("%s%02d:%02d:%02d", seconds.negative? ? "-" : "", hours, minutes, rest)
  end

  # Writes the short notation that parse understands, without parts that are zero.
  def to_s
    text = parts.reject { |_unit, amount| amount.zero? }.map { |unit, amount| "#{amount}#{unit}" }.join(" ")
    text.empty? ? "0s" : text
  end

  # Rounds to the nearest multiple of another duration.
  def round_to(step)
    Duration.new((self / step).round * step.seconds)
  end

  # Returns the moment that lies this long before the given one.
  def before(time) = time - seconds

  # Returns the moment that lies this long after the given one.
  def after(time) = time + seconds
end

if __FILE__ == $PROGRAM_NAME
  d = Duration.parse("1h 30m")
  raise "parse" unless d.seconds == 5400 && Duration.parse("2d4h").seconds == 187_200
  raise "iso" unless Duration.from_iso("P1DT2H").seconds == 93_600 && Duration.from_iso("PT5S").seconds == 5
  raise "of" unless Duration.of(hours: 1, minutes: 30) == d
  raise "math" unless (d + d).to_s == "3h" && (d - d).to_s == "0s" && (d * 2) == d + d
  raise "divide" unless (d / 2).to_s == "45m" && d / Duration.of(minutes: 45) == 2.0
  raise "words" unless d.in_words == "1 hour and 30 minutes" && Duration.new(0).in_words == "0 seconds"
  raise "clock" unless d.to_clock == "01:30:00" && Duration.new(-61).to_clock == "-00:01:01"
  raise "parts" unless Duration.of(weeks: 1, seconds: 3).parts == { w: 1, d: 0, h: 0, m: 0, s: 3 }
  raise "round" unless Duration.parse("52m").round_to(Duration.parse("15m")).to_s == "45m"
  noon = Time.utc(2024, 1, 1, 12)
  raise "before" unless d.before(noon).min == 30 && d.after(noon).hour == 13
  raise "between" unless Duration.between(noon, noon - 60).to_s == "1m"
  raise "compare" unless [Duration.new(3), d].min.seconds == 3
  { parse: "1x", from_iso: "P" }.each do |reader, text|
    Duration.public_send(reader, text)
    raise "must not read #{text}"
  rescue ArgumentError
    nil
  end
end

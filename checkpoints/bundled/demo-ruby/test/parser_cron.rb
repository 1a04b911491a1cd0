# frozen_string_literal: true

# Cron expressions: parsing, matching and the search for the next moment.

module DemoCron
  # Raised for expressions that are not well formed.
  class FormatError < ArgumentError; end

  # One of the five fields of an expression.
  class Field
    attr_reader :values

    # Expands the text of a field to the list of values it permits.
    def initialize(text, range, names = [])
      @text = text
      @range = range
      @names = names
      @values = text.split(",").flat_map { |part| expand(part) }.uniq.sort
      raise FormatError, "empty field" if @values.empty?
    end

    # Checks whether a value is permitted.
    def include?(value) = values.include?(value)

    # Tells whether the field permits everything.
    def any? = @text == "*"

    # Returns the smallest permitted value that is not below the given one, or nil.
    def ceil(value)
      values.find { |candidate| candidate >= value }
    end

    private

    # Expands one part: a star, a number, a range, or any of them with a step.
    def expand(part)
      base, step = part.split("/", 2)
      low, high = base == "*" ? [@range.min, @range.max] : base.split("-", 2).map { |text| number(text) }
      high ||= step ? @range.max : low
      raise FormatError, "#{part} runs backwards" if high < low

      (low..high).step(step ? positive(step) : 1).to_a
    end

    # Converts a number or a name such as "mon" and checks that it lies in the range of the field.
    def number(text)
      value = Integer(text, 10, exception: false)
      value ||= @names.index(text.downcase)&.+(@range.min)
      return value if value && @range.cover?(value)

      raise FormatError, "#{text.inspect} is not in #{@range}"
    end

    # Reads the width of a step, which must be at least one.
    def positive(text)
      width = Integer(text, 10, exception: false)
      raise FormatError, "#{text.inspect} is no step" unless width&.positive?

      width
    end
  end

  # A complete expression with minute, hour, day, month and weekday.
  class Expression
    SHORTCUTS = { "@hourly" => "0 * * * *", "@daily" => "0 0 * * *",
                  "@weekly" => "0 0 * * 0", "@monthly" => "0 0 1 * *" }.freeze
    MONTHS = %w[jan feb mar apr may jun jul aug sep oct nov dec].freeze
    DAYS = %w[sun mon tue wed thu fri sat].freeze

    # Parses five fields separated by spaces, or one of the shortcuts.
    def initialize(text)
      fields = SHORTCUTS.fetch(text, text).split
      raise FormatError, "expected 5 fields, got #{fields.size}" unless fields.size == 5

      @minute = Field.new(fields[0], 0..59)
      @hour = Field.new(fields[1], 0..23)
      @day = Field.new(fields[2], 1..31)
      @month = Field.new(fields[3], 1..12, MONTHS)
      @weekday = Field.new(fields[4], 0..6, DAYS)
    end

    # Checks whether the job is due in the minute of the given time.
    def match?(time)
      @minute.include?(time.min) && @hour.include?(time.hour) && day_match?(time)
    end

    # Finds the next moment after the given time at which the job is due.
    #
    # Returns nil if there is none within the given number of days, as for the 30th of February.
    def next_after(time, within: 1500)
      candidate = floor(time) + 60
      within.times do
        found = day_match?(candidate) && first_on_day(candidate)
        return found if found

        candidate = midnight_after(candidate)
      end
      nil
    end

    # Returns an enumerator of all moments after the given time.
    def each_after(time)
      Enumerator.new do |yielder|
        while (time = next_after(time))
          yielder << time
        end
      end
    end

    # Counts how often the job is due on an ordinary day.
    def runs_per_day
      @minute.values.size * @hour.values.size
    end

    private

    # Compares month and day; if day and weekday are both restricted, one of them is enough.
    def day_match?(time)
      return false unless @month.include?(time.month)

      hits = [@day.include?(time.day), @weekday.include?(time.wday)]
      @day.any? || @weekday.any? ? hits.all? : hits.any?
    end

    # Looks for the first due minute on the day of the candidate, not before the candidate itself.
    def first_on_day(candidate)
      hour = @hour.ceil(candidate.hour)
      minute = hour == candidate.hour ? @minute.ceil(candidate.min) : @minute.values.first
      if hour && minute.nil?
        hour = @hour.ceil(hour + 1)
        minute = @minute.values.first
      end
      hour && Time.utc(candidate.year, candidate.month, candidate.day, hour, minute)
    end

    # Cuts off seconds and fractions.
    def floor(time)
      Time.utc(time.year, time.month, time.day, time.hour, time.min)
    end

    # Moves to the beginning of the following day.
    def midnight_after(time)
      Time.utc(time.year, time.month, time.day) + 86_400
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  cron = ->(text) { DemoCron::Expression.new(text) }
  monday = Time.utc(2024, 1, 1, 10, 7, 30)
  raise "match" unless cron.("*/7 9-17 * * mon").match?(monday) && !cron.("8 * * * *").match?(monday)
  raise "same day" unless cron.("*/15 * * * *").next_after(monday) == Time.utc(2024, 1, 1, 10, 15)
  raise "next hour" unless cron.("5 10,12 * * *").next_after(monday) == Time.utc(2024, 1, 1, 12, 5)
  raise "strictly after" unless cron.("7 10 * * *").next_after(monday) == Time.utc(2024, 1, 2, 10, 7)
  raise "month" unless cron.("0 0 1 mar *").next_after(monday) == Time.utc(2024, 3, 1)
  raise "either" unless cron.("0 0 13 * fri").each_after(monday).first(2).map(&:day) == [5, 12]
  raise "leap" unless cron.("0 0 29 2 *").each_after(monday).first(2).map(&:year) == [2024, 2028]
  raise "never" unless cron.("0 0 30 2 *").next_after(monday).nil?
  raise "weekly" unless cron.("@weekly").next_after(monday).day == 7
  raise "runs" unless cron.("*/20 8-10 * * *").runs_per_day == 9
  { "* * * *" => "expected 5 fields, got 4", "60 * * * *" => '"60" is not in 0..59',
    "5-1 * * * *" => "5-1 runs backwards", "*/0 * * * *" => '"0" is no step' }.each do |text, message|
    cron.(text)
    raise "no error"
  rescue DemoCron::FormatError => e
    raise "text: #{e.message}" unless e.message == message
  end
end

# frozen_string_literal: true

require "date"

# Describes events that repeat by rule and lists the dates on which they happen.
class Recurrence
  include Enumerable

  WEEKDAYS = %i[sun mon tue wed thu fri sat].freeze

  class << self
    # Repeats every +interval+ days.
    def daily(start, interval: 1, **limits)
      new(start, **limits) { |index| start + index * interval }
    end

    # Repeats on certain weekdays of every +interval+-th week.
    #
    #   Recurrence.weekly(Date.new(2024, 1, 1), on: %i[mon fri])
    def weekly(start, on: [WEEKDAYS[start.wday]], interval: 1, **limits)
      monday = start - (start.wday - 1) % 7
      offsets = on.map { |name| (WEEKDAYS.index(name) - 1) % 7 }.sort
      skipped = offsets.count { |offset| monday + offset < start }
      new(start, **limits) do |index|
        week, position = (index + skipped).divmod(offsets.size)
        monday + 7 * interval * week + offsets[position]
      end
    end

    # Repeats on the same day of each month and uses the last day in months that are too short.
    def monthly(start, interval: 1, **limits)
      new(start, **limits) { |index| start >> (index * interval) }
    end

    # Repeats every year; February 29 becomes February 28 outside of leap years.
    def yearly(start, **limits)
      new(start, **limits) { |index| start >> (12 * index) }
    end
  end

  # Takes the start, optional limits and a block that computes the n-th date.
  def initialize(start, count: nil, until_date: nil, except: [], &rule)
    @start = start
    @count = count
    @until_date = until_date
    @except = except
    @rule = rule
  end

  # Yields the dates in order and stops at the limit; without any limit it never stops.
  def each
    return enum_for(:each) unless block_given?

    (0..).each do |index|
      date = @rule.call(index)
      break if @count && index >= @count
      break if @until_date && date > @until_date

      yield date unless @except.include?(date)
    end
  end

  # Returns the first date on or after the given day, or nil when the series is over by then.
  def next_after(date)
    lazy.find { |candidate| candidate >= date }
  end

  # Lists the dates that fall into a range.
  def between(range)
    each_with_object([]) do |date, found|
      break found if date > range.last

      found << date if range.cover?(date)
    end
  end

  # Checks whether the event takes place on a day.
  def occurs_on?(date)
    next_after(date) == date
  end

  # Returns a copy of the series that leaves out one more date.
  def without(date)
    Recurrence.new(@start, count: @count, until_date: @until_date, except: [*@except, date], &@rule)
  end

  # Merges the dates of several series within a range, sorted and without repeats.
  def self.agenda(series, range)
    series.flat_map { |recurrence| recurrence.between(range) }.uniq.sort
  end
end

# Weekly opening hours of a shop, with the times given as "HH:MM".
class OpeningHours
  DAY = 24 * 60

  def initialize
    @slots = Hash.new { |slots, weekday| slots[weekday] = [] }
  end

  # Adds a slot on one or several weekdays and rejects slots that end before they begin.
  def open(*weekdays, from:, to:)
    first = minutes(from)
    last = minutes(to)
    raise ArgumentError, "#{from} is not before #{to}" unless first < last

    weekdays.each { |weekday| @slots[weekday] = (@slots[weekday] + [first...last]).sort_by(&:begin) }
    self
  end

  # Checks whether the shop is open at the given time.
  def open_at?(time)
    slots_on(time).any? { |slot| slot.cover?(time.hour * 60 + time.min) }
  end

  # Computes how many minutes remain until the shop closes, or zero if it is closed already.
  def minutes_left(time)
    now = time.hour * 60 + time.min
    slot = slots_on(time).find { |candidate| candidate.cover?(now) }
    slot ? slot.end - now : 0
  end

  # Searches the next seven days for the moment at which the shop opens again.
  def next_opening(time)
    now = time.hour * 60 + time.min
    (0..7).each do |days|
      midnight = time + (days * DAY - now) * 60 - time.sec
      slot = slots_on(midnight).find { |candidate| days.positive? || candidate.begin > now }
      return midnight + slot.begin * 60 if slot
    end
    nil
  end

  # Sums up the opening hours of a whole week.
  def hours_per_week
    @slots.each_value.sum { |slots| slots.sum(&:size) } / 60.0
  end

  # Summarizes the hours of one weekday as text.
  def describe(weekday)
    slots = @slots.fetch(weekday, [])
    return "closed" if slots.empty?

    slots.map { |slot| "#{clock(slot.begin)}-#{clock(slot.end)}" }.join(" and ")
  end

  private

  # Returns the slots that belong to the weekday of a time.
  def slots_on(time)
    @slots.fetch(Recurrence::WEEKDAYS[time.wday], [])
  end

  # Converts a text such as "09:30" into minutes since midnight.
  def minutes(text)
    hour, minute = text.split(":").map { |part| Integer(part, 10) }
    hour * 60 + minute
  end

  # Converts minutes since midnight back to text.
  def clock(total)
    format("%02d:%02d", *total.divmod(60))
  end
end

if __FILE__ == $PROGRAM_NAME
  start = Date.new(2024, 1, 31)
  raise "daily" unless Recurrence.daily(start, interval: 2, count: 3).map(&:day) == [31, 2, 4]
  raise "monthly" unless Recurrence.monthly(start, count: 4).map(&:day) == [31, 29, 31, 30]
  raise "yearly" unless Recurrence.yearly(Date.new(2024, 2, 29), count: 2).map(&:day) == [29, 28]
  weekly = Recurrence.weekly(Date.new(2024, 1, 3), on: %i[fri mon], until_date: Date.new(2024, 1, 15))
  raise "weekly" unless weekly.map(&:day) == [5, 8, 12, 15]
  raise "next" unless weekly.next_after(Date.new(2024, 1, 9)).day == 12
  raise "over" unless weekly.next_after(Date.new(2024, 2, 1)).nil?
  raise "on" unless weekly.occurs_on?(Date.new(2024, 1, 8)) && !weekly.occurs_on?(Date.new(2024, 1, 9))
  raise "without" unless weekly.without(Date.new(2024, 1, 8)).map(&:day) == [5, 12, 15]
  january = Date.new(2024, 1, 1)..Date.new(2024, 1, 31)
  endless = Recurrence.monthly(Date.new(2023, 12, 8))
  raise "agenda" unless Recurrence.agenda([weekly, endless], january).map(&:day) == [5, 8, 12, 15]
  shop = OpeningHours.new.open(:mon, :tue, from: "14:00", to: "18:30").open(:mon, from: "09:00", to: "12:00")
  monday = ->(hour, minute) { Time.utc(2024, 1, 8, hour, minute) }
  raise "open" unless shop.open_at?(monday[9, 0]) && !shop.open_at?(monday[12, 0])
  raise "left" unless shop.minutes_left(monday[18, 0]) == 30 && shop.minutes_left(monday[13, 0]).zero?
  raise "reopen" unless shop.next_opening(monday[13, 0]) == monday[14, 0]
  raise "next week" unless shop.next_opening(Time.utc(2024, 1, 3, 1, 2, 3)) == monday[9, 0]
  raise "week" unless shop.hours_per_week == 12.0 && OpeningHours.new.next_opening(start.to_time).nil?
  raise "describe" unless shop.describe(:mon) == "09:00-12:00 and 14:00-18:30" && shop.describe(:sun) == "closed"
  begin
    shop.open(:sun, from: "10:00", to: "09:00")
    raise "must not open"
  rescue ArgumentError
    nil
  end
end

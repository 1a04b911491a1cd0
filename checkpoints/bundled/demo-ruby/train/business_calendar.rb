# frozen_string_literal: true

require "date"

# Counts working days and opening hours around weekends and holidays.
class BusinessCalendar
  attr_reader :holidays

  def initialize(holidays: [], weekend: [0, 6])
    @holidays = holidays.map { |day| day.is_a?(Date) ? day : Date.parse(day) }
    @weekend = weekend
  end

  # Checks whether people work on the given day.
  def business_day?(date)
    !@weekend.include?(date.wday) && !@holidays.include?(date)
  end

  # Returns the date itself if it is a business day, otherwise the next one.
  def roll_forward(date)
    date += 1 until business_day?(date)
    date
  end

  # Returns the date itself if it is a business day, otherwise the one before it.
  def roll_back(date)
    date -= 1 until business_day?(date)
    date
  end

  # Rolls forward, but never into another month; in that case it rolls back instead.
  def roll_modified(date)
    rolled = roll_forward(date)
    rolled.month == date.month ? rolled : roll_back(date)
  end

  # Moves a date by a number of business days, backwards if the number is negative.
  def advance(date, days)
    step = days.negative? ? -1 : 1
    remaining = days.abs
    while remaining.positive?
      date += step
      remaining -= 1 if business_day?(date)
    end
    date
  end

  # Counts the business days from the first date up to, but not including, the second one.
  def days_between(from, to)
    return -days_between(to, from) if to < from

    (from...to).count { |date| business_day?(date) }
  end

  # Enumerates business days from a date on, without an end.
  def upcoming(from)
    Enumerator.produce(roll_forward(from)) { |date| advance(date, 1) }
  end

  # Finds the last business day of a month.
  def month_end(year, month)
    roll_back(Date.new(year, month, -1))
  end

  # Lists the runs of days off that are at least +minimum+ days long within a range of dates.
  def long_breaks(range, minimum: 3)
    range.chunk_while { |a, b| business_day?(a) == business_day?(b) }
         .reject { |days| business_day?(days.first) }
         .select { |days| days.size >= minimum }
         .map { |days| days.first..days.last }
  end
end

# Computes the dates of holidays that move from year to year.
module Holidays
  module_function

  # Calculates Easter Sunday of a year in the Gregorian calendar.
  def easter(year)
    golden = year % 19
    century = year / 100
    moon = (19 * golden + century - century / 4 - (8 * century + 13) / 25 + 15) % 30
    moon -= 1 if moon == 29 || (moon == 28 && golden > 10)
    full_moon = Date.new(year, 3, 21) + moon
    full_moon + 7 - full_moon.wday
  end

  # Finds the n-th weekday of a month; a negative number counts from the end of the month.
  def nth_weekday(year, month, weekday, number)
    if number.positive?
      first = Date.new(year, month, 1)
      first + (weekday - first.wday) % 7 + 7 * (number - 1)
    else
      last = Date.new(year, month, -1)
      last - (last.wday - weekday) % 7 + 7 * (number + 1)
    end
  end

  # Moves a holiday that falls on a weekend to the nearest Friday or Monday.
  def observed(date)
    case date.wday
    when 6 then date - 1
    when 0 then date + 1
    else date
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  raise "easter" unless [2000, 2019, 2024, 2025, 2038].map { |y| Holidays.easter(y).to_s } ==
                        %w[2000-04-23 2019-04-21 2024-03-31 2025-04-20 2038-04-25]
  raise "nth" unless Holidays.nth_weekday(2024, 11, 4, 4) == Date.new(2024, 11, 28)
  raise "nth last" unless Holidays.nth_weekday(2024, 5, 1, -1) == Date.new(2024, 5, 27)
  raise "observed" unless Holidays.observed(Date.new(2021, 7, 4)) == Date.new(2021, 7, 5)
  calendar = BusinessCalendar.new(holidays: ["2024-03-29", Date.new(2024, 4, 1)])
  thursday = Date.new(2024, 3, 28)
  raise "advance" unless calendar.advance(thursday, 1) == Date.new(2024, 4, 2)
  raise "back" unless calendar.advance(Date.new(2024, 4, 2), -1) == thursday
  raise "between" unless calendar.days_between(thursday, Date.new(2024, 4, 3)) == 2
  raise "negative" unless calendar.days_between(Date.new(2024, 4, 3), thursday) == -2
  raise "modified" unless calendar.roll_modified(Date.new(2024, 3, 30)) == thursday
  raise "month end" unless calendar.month_end(2024, 3) == thursday
  raise "upcoming" unless calendar.upcoming(Date.new(2024, 3, 29)).first(2).map(&:day) == [2, 3]
  breaks = calendar.long_breaks(Date.new(2024, 3, 1)..Date.new(2024, 4, 30))
  raise "breaks" unless breaks == [Date.new(2024, 3, 29)..Date.new(2024, 4, 1)]
end

# frozen_string_literal: true

# Dice: notation such as "3d6+2", distributions, and the score of a dice game.

module DemoDice
  # Raised for notation that cannot be understood.
  class NotationError < ArgumentError; end

  # One or more equal dice with a modifier, of which only the best may count.
  class Roll
    FORM = /\A(\d*)d(\d+)(?:k(\d+))?([+-]\d+)?\z/

    attr_reader :count, :sides, :keep, :modifier

    # Reads dice from notation: "4d6k3+1" rolls four dice, keeps the best three and adds one.
    def self.parse(text)
      found = FORM.match(text.downcase.delete(" "))
      raise NotationError, "#{text.inspect} is not dice notation such as 3d6+2" unless found

      count = found[1].empty? ? 1 : found[1].to_i
      new(count, found[2].to_i, keep: found[3]&.to_i, modifier: found[4].to_i)
    end

    # Stores the number of dice, their sides, how many count, and what is added.
    def initialize(count, sides, keep: nil, modifier: 0)
      @count = count
      @sides = sides
      @keep = keep || count
      @modifier = modifier
      raise NotationError, "cannot keep #{@keep} of #{count} dice" if @keep > count
    end

    # Rolls the dice with the given random generator and returns the total.
    def roll(random = Random.new)
      total(Array.new(count) { random.rand(1..sides) })
    end

    # Adds up the highest results and the modifier.
    def total(results)
      results.max(keep).sum + modifier
    end

    # Returns the range from the lowest to the highest possible total.
    def range
      (keep + modifier)..((keep * sides) + modifier)
    end

    # Computes the exact probability of each total by trying all combinations.
    def distribution
      @distribution ||= begin
        faces = [*1..sides]
        totals = faces.repeated_permutation(count).map { |results| total(results) }.tally
        totals.sort.to_h { |value, ways| [value, Rational(ways, sides**count)] }
      end
    end

    # Weighs each total with its probability to get the mean.
    def expected
      distribution.sum { |value, probability| value * probability }
    end

    # Returns the probability to reach at least the given total.
    def chance(at_least:)
      distribution.sum { |value, probability| value >= at_least ? probability : 0 }
    end

    # Calculates how likely this roll beats the other one; a tie does not count.
    def beats(other)
      distribution.sum { |value, probability| probability * (1 - other.chance(at_least: value)) }
    end

    # Draws the distribution as a bar chart in text.
    def chart(width: 20)
      peak = distribution.values.max
      distribution.map do |value, probability|
        "#{value.to_s.rjust(3)} #{'#' * (probability / peak * width).round}"
      end.join("\n")
    end

    # Writes the dice in notation again.
    def to_s
      text = "#{count}d#{sides}"
      text += "k#{keep}" if keep < count
      modifier.zero? ? text : format("%s%+d", text, modifier)
    end
  end

  # The score card for a game with five dice.
  class ScoreCard
    CATEGORIES = %i[ones twos threes fours fives sixes triple quadruple full_house
                    small_straight large_straight five_alike chance].freeze

    # Begins with an empty card.
    def initialize
      @scores = {}
    end

    # Enters the dice into a category that is still free and returns the points.
    def enter(category, dice)
      raise ArgumentError, "#{category} is taken" if @scores.key?(category)

      @scores[category] = points(category, dice)
    end

    # Calculates what the dice are worth in a category.
    def points(category, dice)
      counts = dice.tally.values
      case category
      when *CATEGORIES.first(6) then CATEGORIES.index(category).succ.then { |face| face * dice.count(face) }
      when :triple then counts.max >= 3 ? dice.sum : 0
      when :quadruple then counts.max >= 4 ? dice.sum : 0
      when :full_house then counts.sort == [2, 3] ? 25 : 0
      when :small_straight then run_length(dice) >= 4 ? 30 : 0
      when :large_straight then run_length(dice) == 5 ? 40 : 0
      when :five_alike then counts == [5] ? 50 : 0
      when :chance then dice.sum
      else raise ArgumentError, "unknown category #{category.inspect}"
      end
    end

    # Suggests the free category in which the dice bring the most points.
    def best_category(dice)
      (CATEGORIES - @scores.keys).max_by { |category| points(category, dice) }
    end

    # Adds everything up, with a bonus of 35 if the first six categories bring at least 63.
    def total
      upper = @scores.slice(*CATEGORIES.first(6)).values.sum
      @scores.values.sum + (upper >= 63 ? 35 : 0)
    end

    # Checks whether all categories are filled.
    def complete? = @scores.size == CATEGORIES.size

    private

    # Measures the longest run of consecutive faces.
    def run_length(dice)
      dice.uniq.sort.slice_when { |a, b| b != a + 1 }.map(&:size).max
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  two = DemoDice::Roll.parse("2d6")
  raise "distribution" unless two.distribution[7] == Rational(1, 6) && two.distribution.values.sum == 1
  raise "expected" unless two.expected == 7 && two.chance(at_least: 11) == Rational(1, 12)
  best = DemoDice::Roll.parse("2D4K1 - 1")
  raise "to_s" unless best.to_s == "2d4k1-1" && best.range == (0..3)
  raise "keep" unless best.total([2, 4]) == 3 && best.expected == Rational(17, 8)
  raise "beats" unless DemoDice::Roll.parse("d6").beats(DemoDice::Roll.parse("d6")) == Rational(15, 36)
  random = Random.new(3)
  raise "roll" unless Array.new(50) { two.roll(random) }.all? { |value| two.range.cover?(value) }
  raise "chart" unless DemoDice::Roll.new(1, 2).chart(width: 3) == "  1 ###\n  2 ###"
  ["6", "3x6", "2d6k3"].each do |wrong|
    DemoDice::Roll.parse(wrong)
    raise "no error"
  rescue DemoDice::NotationError => e
    raise "empty" if e.message.empty?
  end
  card = DemoDice::ScoreCard.new
  raise "full house" unless card.enter(:full_house, [2, 2, 5, 5, 5]) == 25
  raise "best" unless card.best_category([1, 2, 3, 4, 6]) == :small_straight
  raise "straight" unless card.points(:large_straight, [6, 5, 4, 3, 2]) == 40
  raise "triple" unless card.points(:triple, [1, 1, 1, 2, 3]) == 8
  card.enter(:sixes, [6, 6, 6, 6, 6])
  card.enter(:fives, [5, 5, 5, 5, 5])
  raise "bonus" unless card.enter(:fours, [4, 4, 1, 1, 1]) == 8 && card.total == 25 + 30 + 25 + 8 + 35
  begin
    card.enter(:sixes, [1] * 5)
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message == "sixes is taken" && !card.complete?
  end
end

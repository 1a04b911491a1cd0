# frozen_string_literal: true

# Roman numerals and other ways to write whole numbers.

module DemoNumerals
  # A number between 1 and 3999 that is written with Roman letters.
  class Roman
    include Comparable

    LETTERS = { 1000 => "M", 900 => "CM", 500 => "D", 400 => "CD", 100 => "C", 90 => "XC",
                50 => "L", 40 => "XL", 10 => "X", 9 => "IX", 5 => "V", 4 => "IV", 1 => "I" }.freeze
    FORM = /\AM{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})\z/

    attr_reader :to_i

    # Parses a numeral in either letter case and rejects those that are not in their shortest form.
    def self.parse(text)
      letters = text.upcase
      raise ArgumentError, "#{text.inspect} is not a Roman numeral" if letters.empty? || !letters.match?(FORM)

      values = letters.each_char.map { |letter| LETTERS.key(letter) }
      new(values.each_cons(2).sum { |a, b| a < b ? -a : a } + values.last)
    end

    # Wraps an integer and raises RangeError if it cannot be written.
    def initialize(number)
      raise RangeError, "#{number} is not between 1 and 3999" unless number.between?(1, 3999)

      @to_i = number
    end

    # Composes the numeral from the largest values that fit.
    def to_s
      rest = to_i
      LETTERS.map do |value, letters|
        count, rest = rest.divmod(value)
        letters * count
      end.join
    end

    # Adds a numeral or an integer.
    def +(other) = self.class.new(to_i + other.to_i)

    # Subtracts a numeral or an integer.
    def -(other) = self.class.new(to_i - other.to_i)

    # Returns the following numeral, which makes ranges of numerals work.
    def succ
      self + 1
    end

    # Compares by the number that is meant.
    def <=>(other)
      to_i <=> other.to_i
    end
  end

  ONES = %w[zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
            fifteen sixteen seventeen eighteen nineteen].freeze
  TENS = %w[- - twenty thirty forty fifty sixty seventy eighty ninety].freeze
  SCALES = { 1_000_000_000 => "billion", 1_000_000 => "million", 1000 => "thousand", 100 => "hundred" }.freeze

  module_function

  # Spells a whole number in English words.
  def in_words(number)
    return "minus #{in_words(-number)}" if number.negative?
    return ONES[number] if number < 20

    if number < 100
      tens, ones = number.divmod(10)
      return ones.zero? ? TENS[tens] : "#{TENS[tens]}-#{ONES[ones]}"
    end
    scale, name = SCALES.find { |value, _| value <= number }
    head, rest = number.divmod(scale)
    [in_words(head), name, rest.zero? ? nil : in_words(rest)].compact.join(" ")
  end

  # Appends the ending of an ordinal number: 1st, 2nd, 3rd, 4th.
  def ordinal(number)
    return "#{number}th" if (11..13).cover?(number.abs % 100)

    "#{number}#{{ 1 => 'st', 2 => 'nd', 3 => 'rd' }.fetch(number.abs % 10, 'th')}"
  end

  # Groups the digits by thousands.
  def delimited(number, delimiter: ",")
    whole, decimals = number.to_s.split(".")
    [whole.gsub(/(\d)(?=(\d{3})+\z)/, "\\1#{delimiter}"), decimals].compact.join(".")
  end

  # Converts a positive number to the column letters of a spreadsheet: A to Z, then AA.
  def column_name(number)
    name = +""
    while number.positive?
      number, index = (number - 1).divmod(26)
      name.prepend(("A".ord + index).chr)
    end
    name
  end

  # Finds the number of a spreadsheet column from its letters.
  def column_number(name)
    name.upcase.each_char.reduce(0) { |number, letter| (number * 26) + letter.ord - 64 }
  end
end

if __FILE__ == $PROGRAM_NAME
  roman = DemoNumerals::Roman
  raise "to_s" unless [4, 9, 40, 1994, 3999].map { |n| roman.new(n).to_s } == %w[IV IX XL MCMXCIV MMMCMXCIX]
  raise "round trip" unless (1..3999).all? { |n| roman.parse(roman.new(n).to_s).to_i == n }
  raise "plus" unless (roman.parse("ix") + 3).to_s == "XII" && (roman.parse("X") - roman.parse("I")).to_s == "IX"
  raise "range" unless (roman.new(3)..roman.new(5)).map(&:to_s) == %w[III IV V]
  raise "compare" unless roman.parse("IX") < roman.parse("V") + 5
  ["IIII", "VX", "", "hello"].each do |wrong|
    roman.parse(wrong)
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message.start_with?(wrong.inspect)
  end
  begin
    roman.new(4000)
    raise "no error"
  rescue RangeError => e
    raise "text" unless e.message == "4000 is not between 1 and 3999"
  end
  raise "words" unless DemoNumerals.in_words(-1_042_019) == "minus one million forty-two thousand nineteen"
  raise "ordinal" unless [1, 12, 22, 103].map { |n| DemoNumerals.ordinal(n) } == %w[1st 12th 22nd 103rd]
  raise "delimited" unless DemoNumerals.delimited(-1_234_567.25) == "-1,234,567.25"
  raise "column" unless DemoNumerals.column_name(703) == "AAA" && DemoNumerals.column_number("az") == 52
end

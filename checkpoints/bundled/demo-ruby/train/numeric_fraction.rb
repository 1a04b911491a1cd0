# frozen_string_literal: true

# Fractions with exact arithmetic.

module DemoNumeric
  # An immutable fraction in lowest terms.
  class Fraction
    include Comparable

    attr_reader :numerator, :denominator

    class << self
      # Reads "3/4", "1 3/4" or "0.75" and returns the fraction.
      def parse(text)
        case text.strip
        when %r{\A(-?)(?:(\d+)\s+)?(\d+)/(\d+)\z}
          sign, whole, top, bottom = Regexp.last_match.captures
          value = new((whole.to_i * bottom.to_i) + top.to_i, bottom.to_i)
          sign == "-" ? -value : value
        when /\A(-?\d+)(?:\.(\d+))?\z/
          digits = Regexp.last_match(2).to_s
          new((Regexp.last_match(1) + digits).to_i, 10**digits.length)
        else
          raise ArgumentError, "#{text.inspect} is no fraction"
        end
      end

      # Finds the fraction closest to a number among those whose denominator is not too large.
      def approximate(number, max_denominator: 100)
        best = (1..max_denominator).min_by { |bottom| ((number * bottom).round.fdiv(bottom) - number).abs }
        new((number * best).round, best)
      end

      # Converts integers to fractions and leaves fractions as they are.
      def wrap(value)
        case value
        when Fraction then value
        when Integer then new(value)
        else raise TypeError, "cannot mix a fraction and #{value.class}"
        end
      end
    end

    # Reduces the fraction and moves the sign into the numerator.
    def initialize(numerator, denominator = 1)
      raise ZeroDivisionError, "the denominator is zero" if denominator.zero?

      divisor = numerator.gcd(denominator) * (denominator.negative? ? -1 : 1)
      @numerator = numerator / divisor
      @denominator = denominator / divisor
      freeze
    end

    # Adds a fraction or an integer.
    def +(other)
      other = self.class.wrap(other)
      self.class.new((numerator * other.denominator) + (other.numerator * denominator),
                     denominator * other.denominator)
    end

    # Subtracts by adding the opposite.
    def -(other) = self + -self.class.wrap(other)

    # Multiplies numerators and denominators.
    def *(other)
      other = self.class.wrap(other)
      self.class.new(numerator * other.numerator, denominator * other.denominator)
    end

    # Divides by multiplying with the reciprocal.
    def /(other)
      self * self.class.wrap(other).reciprocal
    end

    # Raises the fraction to an integer power, which may be negative.
    def **(other)
      return reciprocal**-other if other.negative?

      self.class.new(numerator**other, denominator**other)
    end

    # Changes the sign.
    def -@ = self.class.new(-numerator, denominator)

    # Swaps numerator and denominator.
    def reciprocal
      self.class.new(denominator, numerator)
    end

    # Orders fractions by value; anything that is neither a fraction nor an integer is not comparable.
    def <=>(other)
      return nil unless other.is_a?(Fraction) || other.is_a?(Integer)

      other = self.class.wrap(other)
      (numerator * other.denominator) <=> (other.numerator * denominator)
    end

    # Lets an integer stand on the left of an operator.
    def coerce(other)
      [self.class.wrap(other), self]
    end

    # Checks whether the value is a whole number.
    def whole? = denominator == 1

    # Splits the fraction into its whole part and the rest.
    def mixed
      whole = numerator.abs / denominator * (numerator.negative? ? -1 : 1)
      [whole, self - whole]
    end

    # Writes a fraction between zero and one as a sum of different fractions with numerator one.
    #
    # In each step the largest such fraction that fits is taken away.
    def egyptian
      raise ArgumentError, "#{self} is not between 0 and 1" unless self >= 0 && self < 1

      parts = []
      rest = self
      until rest.numerator.zero?
        unit = self.class.new(1, rest.denominator.fdiv(rest.numerator).ceil)
        parts << unit
        rest -= unit
      end
      parts
    end

    # Converts to a floating point number.
    def to_f = numerator.fdiv(denominator)

    # Writes out the decimals and puts the digits that repeat forever into parentheses.
    def to_decimal
      digits, rest = numerator.abs.divmod(denominator)
      text = "#{'-' if numerator.negative?}#{digits}"
      return text if rest.zero?

      seen = {}
      decimals = +""
      until rest.zero? || seen.key?(rest)
        seen[rest] = decimals.length
        digit, rest = (rest * 10).divmod(denominator)
        decimals << digit.to_s
      end
      decimals.insert(seen[rest], "(") << ")" unless rest.zero?
      "#{text}.#{decimals}"
    end

    # Shows whole numbers without a denominator.
    def to_s
      whole? ? numerator.to_s : "#{numerator}/#{denominator}"
    end

    # Wraps the fraction in parentheses for use in the console.
    def inspect = "(#{self})"

    # Makes equal fractions interchangeable as keys of a hash.
    def hash = [numerator, denominator].hash

    # Compares without converting other types.
    def eql?(other)
      other.is_a?(Fraction) && self == other
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  fraction = DemoNumeric::Fraction
  half = fraction.new(1, 2)
  third = fraction.new(-1, -3)
  raise "plus" unless (half + third).to_s == "5/6" && (half - third) == fraction.new(1, 6)
  raise "times" unless (half * 4).whole? && (half / third).to_s == "3/2"
  raise "power" unless half**-3 == 8 && third**2 == fraction.new(1, 9)
  raise "coerce" unless (1 + half) == fraction.parse("1 1/2") && 1 - third > half
  raise "parse" unless fraction.parse("-1 3/4").to_s == "-7/4" && fraction.parse("0.75").to_s == "3/4"
  raise "mixed" unless fraction.new(-7, 4).mixed == [-1, fraction.new(-3, 4)]
  raise "egyptian" unless fraction.new(4, 5).egyptian.map(&:denominator) == [2, 4, 20]
  raise "decimal" unless fraction.new(-1, 6).to_decimal == "-0.1(6)" && fraction.new(5, 4).to_decimal == "1.25"
  raise "approximate" unless fraction.approximate(Math::PI).to_s == "311/99"
  raise "hash" unless { half => 1 }[fraction.new(2, 4)] == 1
  begin
    half.send(:+, 0.5)
    raise "no error"
  rescue TypeError => e
    raise "text" unless e.message == "cannot mix a fraction and Float"
  end
  raise "convert" unless half.to_f == 0.5 && half.inspect == "(1/2)"
  begin
    fraction.parse("half")
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message == '"half" is no fraction'
  end
end

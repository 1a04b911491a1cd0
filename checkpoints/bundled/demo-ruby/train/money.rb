# frozen_string_literal: true

# An amount of money that is kept in the smallest unit of its currency.
class Money
  include Comparable

  # Raised when amounts of different currencies meet.
  class CurrencyMismatch < ArgumentError; end

  Currency = Struct.new(:code, :symbol, :digits)

  CURRENCIES = {
    "EUR" => Currency.new("EUR", "€", 2),
    "USD" => Currency.new("USD", "$", 2),
    "JPY" => Currency.new("JPY", "¥", 0)
  }.freeze

  class << self
    # Creates an amount from a decimal number or its text, rounded to the smallest unit.
    def from_decimal(number, code)
      digits = CURRENCIES.fetch(code).digits
      new((Rational(number.to_s) * 10**digits).round, code)
    end

    # Parses texts like "1,234.50 EUR" or "$9.99".
    def parse(text)
      currency = CURRENCIES.each_value.find { |item| text.include?(item.symbol) || text.include?(item.code) }
      raise ArgumentError, "no known currency in #{text.inspect}" unless currency

      from_decimal(text.delete("^0-9.-"), currency.code)
    end

    # Adds up a list of amounts, which must not be empty.
    def total(amounts)
      amounts.reduce(:+) || raise(ArgumentError, "nothing to add up")
    end
  end

  attr_reader :cents, :currency

  def initialize(cents, code)
    @currency = CURRENCIES.fetch(code) { raise ArgumentError, "unknown currency #{code}" }
    @cents = Integer(cents)
    freeze
  end

  # Compares two amounts and refuses to compare different currencies.
  def <=>(other)
    return nil unless other.is_a?(Money)

    cents <=> same_currency!(other).cents
  end

  # Adds two amounts of the same currency.
  def +(other)
    with(cents + same_currency!(other).cents)
  end

  # Subtracts an amount of the same currency.
  def -(other)
    with(cents - same_currency!(other).cents)
  end

  # Multiplies with a factor and rounds half of a cent to the even neighbour.
  def *(other)
    with((cents * other.to_r).round(half: :even))
  end

  # Changes the sign of the amount.
  def -@
    with(-cents)
  end

  # Checks whether there is nothing to pay and nothing to get.
  def zero? = cents.zero?

  # Splits the amount into equal parts, where the first ones take the cents that are left over.
  def split(count)
    share, rest = cents.divmod(count)
    Array.new(count) { |index| with(share + (index < rest ? 1 : 0)) }
  end

  # Distributes the amount in proportion to the given weights without losing a cent.
  def allocate(weights)
    sum = weights.sum
    raise ArgumentError, "weights must not add up to zero" if sum.zero?

    shares = weights.map { |weight| (cents * weight.to_r / sum).floor }
    missing = cents - shares.sum
    missing.times { |index| shares[index % shares.size] += 1 }
    shares.map { |share| with(share) }
  end

  # Returns the given percentage of the amount.
  def percent(rate)
    self * Rational(rate.to_s) * Rational(1, 100)
  end

  # Rounds to a multiple of the smallest coin, for instance 5 cents.
  def round_to_coin(coin)
    with((cents.to_r / coin).round * coin)
  end

  # Converts the amount to an exact decimal number.
  def to_r
    Rational(cents, 10**currency.digits)
  end

  # Formats the amount with symbol, grouped thousands and all decimal places of the currency.
  def format(grouping: ",", decimal: ".")
    whole, fraction = cents.abs.divmod(10**currency.digits)
    text = whole.to_s.gsub(/(\d)(?=(\d{3})+\z)/, "\\1#{grouping}")
    text += decimal + fraction.to_s.rjust(currency.digits, "0") if currency.digits.positive?
    "#{"-" if cents.negative?}#{currency.symbol}#{text}"
  end

  # Writes the amount as number and currency code, which suits files and logs.
  def to_s
    "#{Kernel.format("%.#{currency.digits}f", to_r)} #{currency.code}"
  end

  private

  # Builds another amount in the currency of the receiver.
  def with(new_cents) = Money.new(new_cents, currency.code)

  # Returns the other amount if it has the same currency and raises CurrencyMismatch otherwise.
  def same_currency!(other)
    return other if other.currency == currency

    raise CurrencyMismatch, "cannot combine #{currency.code} with #{other.currency.code}"
  end
end

if __FILE__ == $PROGRAM_NAME
  price = Money.from_decimal("19.99", "EUR")
  raise "cents" unless price.cents == 1999
  raise "parse" unless Money.parse("1,234.50 EUR").cents == 123_450 && Money.parse("-$9.99").cents == -999
  raise "add" unless (price + Money.new(1, "EUR")).to_s == "20.00 EUR"
  raise "negate" unless (-price).format == "-€19.99" && (price - price).zero?
  raise "format" unless Money.new(123_456_789, "USD").format == "$1,234,567.89"
  raise "yen" unless Money.new(1500, "JPY").format(grouping: " ") == "¥1 500"
  raise "split" unless Money.new(100, "EUR").split(3).map(&:cents) == [34, 33, 33]
  raise "allocate" unless Money.new(101, "EUR").allocate([1, 1, 2]).map(&:cents) == [26, 25, 50]
  raise "percent" unless Money.new(1000, "EUR").percent("19").cents == 190
  raise "round" unless (Money.new(5, "EUR") * 0.5).cents == 2 && Money.new(98, "EUR").round_to_coin(5).cents == 100
  raise "total" unless Money.total([price, price]).cents == 3998
  raise "compare" unless [price, Money.new(1, "EUR")].min.cents == 1
  begin
    Money.total([price, Money.new(1, "USD")])
    raise "must not add"
  rescue Money::CurrencyMismatch
    nil
  end
end

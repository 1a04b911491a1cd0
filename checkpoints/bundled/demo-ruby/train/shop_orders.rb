# frozen_string_literal: true

# Orders: numbers, payments, splitting into parcels and a report over many orders.

module DemoOrders
  # Raised when a payment does not fit the order.
  class PaymentError < StandardError; end

  Line = Struct.new(:sku, :quantity, :cents, :grams)

  # Produces order numbers with a check digit at the end.
  class NumberGenerator
    # Starts counting after the given number.
    def initialize(prefix, last = 0)
      @prefix = prefix
      @last = last
    end

    # Returns the next order number.
    def next!
      @last += 1
      digits = @last.to_s.rjust(6, "0")
      "#{@prefix}-#{digits}#{self.class.check_digit(digits)}"
    end

    # Computes the digit that makes the weighted sum of all digits divisible by ten.
    def self.check_digit(digits)
      sum = digits.reverse.each_char.with_index.sum { |digit, index| digit.to_i * (index.even? ? 3 : 1) }
      (10 - (sum % 10)) % 10
    end

    # Verifies the check digit of an order number, so that typing errors are noticed.
    def self.valid?(number)
      digits = number[/\d+\z/]
      return false if digits.nil? || digits.length < 2

      check_digit(digits[0..-2]) == digits[-1].to_i
    end
  end

  # One order of a customer.
  class Order
    include Comparable

    attr_reader :number, :customer, :lines, :payments

    # Creates an unpaid order from its lines.
    def initialize(number, customer, lines)
      @number = number
      @customer = customer
      @lines = lines
      @payments = []
    end

    # Adds up the amounts of all lines.
    def total = lines.sum { |line| line.cents * line.quantity }

    # Sums up what has been paid so far.
    def paid = payments.sum

    # Returns the amount that is still open.
    def due = total - paid

    # Checks whether nothing is left to pay.
    def settled? = due.zero?

    # Records a payment and raises PaymentError if it is not positive or exceeds the open amount.
    def pay!(cents)
      raise PaymentError, "payment must be positive" unless cents.positive?
      raise PaymentError, "payment of #{cents} exceeds the open #{due}" if cents > due

      @payments << cents
      due
    end

    # Splits the total into equal installments and puts the odd cents into the first one.
    def installments(count)
      share, rest = total.divmod(count)
      [share + rest, *Array.new(count - 1, share)]
    end

    # Orders by total first and by number among equal totals.
    def <=>(other)
      [total, number] <=> [other.total, other.number]
    end

    # Distributes all pieces over parcels so that none is heavier than the limit.
    #
    # Heavy pieces are packed first, each into the first parcel that has room for it.
    def parcels(limit:)
      pieces = lines.flat_map { |line| [line] * line.quantity }.sort_by { |line| -line.grams }
      pieces.each_with_object([]) do |piece, boxes|
        raise ArgumentError, "#{piece.sku} is too heavy for any parcel" if piece.grams > limit

        box = boxes.find { |candidate| candidate.sum(&:grams) + piece.grams <= limit }
        box ? box << piece : boxes << [piece]
      end
    end
  end

  # Figures computed from many orders.
  class Report
    # Takes the orders to evaluate.
    def initialize(orders)
      @orders = orders
    end

    # Sums the totals for each customer, highest first.
    def revenue_by_customer
      sums = @orders.group_by(&:customer).transform_values { |orders| orders.sum(&:total) }
      sums.sort_by { |customer, cents| [-cents, customer] }.to_h
    end

    # Returns the articles that were sold most often, with their quantities.
    def best_sellers(count = 3)
      quantities = Hash.new(0)
      @orders.each { |order| order.lines.each { |line| quantities[line.sku] += line.quantity } }
      quantities.max_by(count) { |sku, quantity| [quantity, sku] }
    end

    # Finds pairs of articles that appear in the same order, with the number of such orders.
    def bought_together
      @orders.flat_map { |order| order.lines.map(&:sku).uniq.sort.combination(2).to_a }.tally
    end

    # Selects the orders that are not fully paid, largest open amount first.
    def unpaid
      @orders.reject(&:settled?).sort_by { |order| -order.due }
    end

    # Computes the average total in cents, rounded, or nil without any orders.
    def average_total
      return nil if @orders.empty?

      @orders.sum(&:total).fdiv(@orders.size).round
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  numbers = DemoOrders::NumberGenerator.new("A", 122)
  first = numbers.next!
  raise "number #{first}" unless first == "A-0001236" && DemoOrders::NumberGenerator.valid?(first)
  raise "typo" if DemoOrders::NumberGenerator.valid?("A-0001326")
  line = DemoOrders::Line
  small = DemoOrders::Order.new(first, "Ida", [line.new("pen", 3, 100, 20)])
  large = DemoOrders::Order.new(numbers.next!, "Jo", [line.new("pen", 1, 100, 20), line.new("desk", 2, 5000, 900)])
  raise "compare" unless small < large && [large, small].min == small
  raise "pay" unless small.pay!(250) == 50 && !small.settled?
  begin
    small.pay!(60)
    raise "no error"
  rescue DemoOrders::PaymentError => e
    raise "text" unless e.message == "payment of 60 exceeds the open 50"
  end
  raise "installments" unless large.installments(3) == [3368, 3366, 3366]
  raise "parcels" unless large.parcels(limit: 1000).map(&:size) == [2, 1]
  report = DemoOrders::Report.new([small, large])
  raise "revenue" unless report.revenue_by_customer == { "Jo" => 10_100, "Ida" => 300 }
  raise "best" unless report.best_sellers(1) == [["pen", 4]]
  raise "together" unless report.bought_together == { %w[desk pen] => 1 }
  raise "unpaid" unless report.unpaid == [large, small] && report.average_total == 5200
end

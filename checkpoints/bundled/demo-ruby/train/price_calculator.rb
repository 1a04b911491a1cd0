# frozen_string_literal: true

# Prices, discounts and taxes of a shopping cart, with all amounts in whole cents.
class PriceCalculator
  Item = Struct.new(:sku, :unit_price, :quantity, :category, keyword_init: true) do
    # Multiplies the price of one piece with the quantity.
    def subtotal
      unit_price * quantity
    end
  end

  Totals = Struct.new(:net, :discount, :tax, :shipping, keyword_init: true) do
    # Adds up what the customer has to pay in the end.
    def grand_total
      net - discount + tax + shipping
    end
  end

  def initialize(tax_rates: {}, default_rate: 0)
    @tax_rates = tax_rates
    @default_rate = default_rate
    @items = []
    @discounts = []
    @shipping = ->(_net) { 0 }
  end

  # Puts an item into the cart, or raises its quantity if the same article is in there already.
  def add(sku, unit_price:, quantity: 1, category: :standard)
    existing = @items.find { |item| item.sku == sku }
    if existing
      existing.quantity += quantity
    else
      @items << Item.new(sku: sku, unit_price: unit_price, quantity: quantity, category: category)
    end
    self
  end

  # Takes some or all pieces of an article out of the cart.
  def remove(sku, quantity: nil)
    item = @items.find { |candidate| candidate.sku == sku }
    return nil unless item

    item.quantity -= quantity || item.quantity
    @items.delete(item) unless item.quantity.positive?
    item
  end

  # Registers a discount of some percent on all items, or only on those of one category.
  def percent_off(rate, category: nil)
    @discounts << lambda do |items|
      matching = category ? items.select { |item| item.category == category } : items
      matching.sum(&:subtotal) * rate / 100
    end
    self
  end

  # Registers an offer by which every n-th piece of an article is free.
  def every_nth_free(sku, nth)
    @discounts << lambda do |items|
      items.select { |item| item.sku == sku }.sum { |item| item.quantity / nth * item.unit_price }
    end
    self
  end

  # Defines the shipping costs, which are waived from a certain order value on.
  def flat_shipping(cost, free_from: nil)
    @shipping = ->(net) { free_from && net >= free_from ? 0 : cost }
    self
  end

  # Computes the net sum, the discount, the taxes and the shipping costs of the cart.
  def totals
    net = @items.sum(&:subtotal)
    discount = [@discounts.sum { |rule| rule.call(@items) }, net].min
    share = net.zero? ? 0 : Rational(net - discount, net)
    Totals.new(net: net, discount: discount, tax: tax(share), shipping: @shipping.call(net - discount))
  end

  # Groups the items by category and sums up the value of each group.
  def by_category
    @items.group_by(&:category).transform_values { |items| items.sum(&:subtotal) }
  end

  # Calculates the net price that is contained in a gross price.
  def self.net_of(gross, rate)
    (gross * 100 / Rational(100 + rate)).round
  end

  private

  # Sums the tax of all items after each was reduced by its part of the discount.
  def tax(share)
    @items.sum do |item|
      rate = @tax_rates.fetch(item.category, @default_rate)
      item.subtotal * share * rate / 100
    end.round
  end
end

# Computes the payments of a loan with a fixed rate.
class Loan
  def initialize(principal, yearly_rate, months)
    @principal = principal
    @rate = yearly_rate / 1200.0
    @months = months
  end

  # Returns the constant amount that is due every month, rounded to cents.
  def monthly_payment
    return (@principal.to_f / @months).round if @rate.zero?

    (@principal * @rate / (1 - (1 + @rate)**-@months)).round
  end

  # Yields month, interest, repayment and remaining debt until nothing is left.
  def each_payment
    return enum_for(:each_payment) unless block_given?

    balance = @principal
    (1..@months).each do |month|
      interest = (balance * @rate).round
      repayment = month == @months ? balance : monthly_payment - interest
      balance -= repayment
      yield month, interest, repayment, balance
    end
  end

  # Sums up the interest over the whole term.
  def total_interest
    each_payment.sum { |_month, interest, _repayment, _balance| interest }
  end
end

if __FILE__ == $PROGRAM_NAME
  cart = PriceCalculator.new(tax_rates: { book: 7 }, default_rate: 20)
  cart.add("lamp", unit_price: 1000).add("novel", unit_price: 500, quantity: 3, category: :book)
  cart.add("lamp", unit_price: 1000)
  raise "net" unless cart.totals.net == 3500 && cart.by_category == { standard: 2000, book: 1500 }
  raise "tax" unless cart.totals.tax == 505
  cart.every_nth_free("novel", 3).percent_off(10, category: :standard).flat_shipping(490, free_from: 2900)
  totals = cart.totals
  raise "discount" unless totals.discount == 700 && totals.tax == 404
  raise "shipping" unless totals.shipping == 490 && totals.grand_total == 3694
  cart.remove("novel", quantity: 1)
  raise "remove" unless cart.by_category[:book] == 1000 && cart.remove("pen").nil?
  raise "net of" unless PriceCalculator.net_of(1190, 19) == 1000
  loan = Loan.new(120_000, 6, 12)
  raise "payment" unless loan.monthly_payment == 10_328
  raise "paid off" unless loan.each_payment.to_a.last.last.zero?
  raise "interest" unless loan.total_interest.between?(3930, 3942)
  raise "no interest" unless Loan.new(1200, 0, 12).monthly_payment == 100
end

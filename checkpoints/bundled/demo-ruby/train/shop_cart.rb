# frozen_string_literal: true

# A shopping cart with discounts, taxes and a receipt; all amounts are whole cents.

module DemoShop
  # Raised for coupons that do not exist or cannot be used.
  class CouponError < StandardError; end

  Item = Struct.new(:sku, :title, :cents, :quantity, :category, keyword_init: true) do
    # Multiplies the price of one piece by the quantity.
    def total = cents * quantity
  end

  # A discount for a whole cart.
  class Coupon
    attr_reader :code

    # Describes a discount as a share or a fixed amount, with a least order value and an optional category.
    def initialize(code, percent: nil, cents: nil, minimum: 0, category: nil)
      raise ArgumentError, "give either percent or cents" unless [percent, cents].one?

      @code = code
      @percent = percent
      @cents = cents
      @minimum = minimum
      @category = category
    end

    # Computes the discount for the items, never more than they cost.
    def discount(items)
      base = items.select { |item| @category.nil? || item.category == @category }.sum(&:total)
      amount = @percent ? (base * @percent / 100.0).round : @cents
      [amount, base].min
    end

    # Tells whether the order value is high enough for the coupon.
    def usable?(subtotal)
      subtotal >= @minimum
    end

    # Says how many cents are missing until the coupon can be used.
    def missing(subtotal)
      [@minimum - subtotal, 0].max
    end
  end

  # Items that a customer wants to buy.
  class Cart
    include Enumerable

    # Begins with an empty cart and a tax rate in percent for each category.
    def initialize(tax_rates: Hash.new(20), free_shipping_from: 5000, shipping: 490)
      @items = {}
      @coupons = []
      @tax_rates = tax_rates
      @free_shipping_from = free_shipping_from
      @shipping = shipping
    end

    # Puts pieces of an article into the cart; more pieces of the same article are added up.
    def add(sku, title:, cents:, quantity: 1, category: :general)
      raise ArgumentError, "quantity must be positive, got #{quantity}" unless quantity.positive?

      item = (@items[sku] ||= Item.new(sku: sku, title: title, cents: cents, quantity: 0, category: category))
      item.quantity += quantity
      self
    end

    # Sets the quantity of an article and removes the article if the quantity is zero.
    def update(sku, quantity)
      item = @items.fetch(sku)
      quantity.zero? ? @items.delete(sku) : item.quantity = quantity
      self
    end

    # Applies a coupon or raises CouponError with the reason why it cannot be used.
    def redeem(coupon)
      raise CouponError, "#{coupon.code} has been used already" if @coupons.any? { |used| used.code == coupon.code }
      unless coupon.usable?(subtotal)
        raise CouponError, "#{coupon.code} needs #{format_cents(coupon.missing(subtotal))} more in the cart"
      end

      @coupons << coupon
      self
    end

    # Yields every item of the cart.
    def each(&block)
      @items.each_value(&block)
      self
    end

    # Counts the pieces of all articles.
    def pieces = sum(&:quantity)

    # Tells whether nothing has been put into the cart.
    def empty? = @items.empty?

    # Adds up the prices of all items before discounts and shipping.
    def subtotal
      sum(&:total)
    end

    # Adds up what the redeemed coupons save, at most the subtotal.
    def discount
      [@coupons.sum { |coupon| coupon.discount(to_a) }, subtotal].min
    end

    # Returns the shipping costs, which drop to zero for large and for empty carts.
    def shipping
      return 0 if empty? || subtotal - discount >= @free_shipping_from

      @shipping
    end

    # Computes the tax that is contained in the prices, grouped by rate.
    def taxes
      group_by { |item| @tax_rates[item.category] }.transform_values do |items|
        rate = @tax_rates[items.first.category]
        gross = items.sum(&:total)
        (gross * rate / (100.0 + rate)).round
      end
    end

    # Returns the amount the customer has to pay.
    def total
      subtotal - discount + shipping
    end

    # Prints the cart as a receipt with amounts aligned to the right.
    def receipt(width: 32)
      rows = map { |item| ["#{item.quantity} x #{item.title}", item.total] }
      rows << ["Discount", -discount] if discount.positive?
      rows << ["Shipping", shipping] << ["Total", total]
      rows.map { |label, cents| label.ljust(width - 10) + format_cents(cents).rjust(10) }.join("\n")
    end

    private

    # Formats an amount of cents with two decimals.
    def format_cents(cents)
      format("%.2f", cents / 100.0)
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  cart = DemoShop::Cart.new(tax_rates: { general: 20, books: 5 })
  cart.add("T1", title: "Tea", cents: 450, quantity: 2)
  cart.add("B1", title: "Atlas", cents: 2100, category: :books).add("T1", title: "Tea", cents: 450)
  raise "pieces" unless cart.pieces == 4 && cart.subtotal == 3450
  raise "taxes #{cart.taxes}" unless cart.taxes == { 20 => 225, 5 => 100 }
  raise "shipping" unless cart.total == 3450 + 490
  cart.redeem(DemoShop::Coupon.new("BOOK10", percent: 10, category: :books))
  raise "discount" unless cart.discount == 210
  big = DemoShop::Coupon.new("BIG", cents: 1000, minimum: 4000)
  begin
    cart.redeem(big)
    raise "no error"
  rescue DemoShop::CouponError => e
    raise "text" unless e.message == "BIG needs 5.50 more in the cart"
  end
  raise "receipt" unless cart.receipt.lines.last == "Total                      37.30"
  cart.update("B1", 3).redeem(big)
  raise "free" unless cart.shipping.zero? && cart.discount == 1630
  cart.update("B1", 0).update("T1", 0)
  raise "empty" unless cart.empty? && cart.total.zero?
end

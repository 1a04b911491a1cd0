# frozen_string_literal: true

# A stock of articles with reservations, batches that expire, and orders for supplies.

module DemoInventory
  # Raised when there is less in stock than somebody wants.
  class OutOfStock < StandardError
    attr_reader :sku, :missing

    # Remembers the article and the number of missing pieces.
    def initialize(sku, missing)
      @sku = sku
      @missing = missing
      super("#{missing} pieces of #{sku} are missing")
    end
  end

  Batch = Struct.new(:quantity, :cost, :expires) do
    # Tells whether the batch can no longer be sold on the given day.
    def spoiled?(day) = !expires.nil? && expires < day
  end

  # The stock of one warehouse.
  class Warehouse
    # Starts with empty shelves.
    def initialize
      @batches = Hash.new { |hash, sku| hash[sku] = [] }
      @reserved = Hash.new(0)
      @levels = {}
    end

    # Puts a delivery on the shelf; batches that expire first come first.
    def receive(sku, quantity, cost:, expires: nil)
      @batches[sku] << Batch.new(quantity, cost, expires)
      @batches[sku].sort_by!.with_index { |batch, index| [batch.expires || Float::INFINITY, index] }
      self
    end

    # Counts the pieces on the shelf, reserved or not.
    def on_hand(sku)
      @batches.key?(sku) ? @batches[sku].sum(&:quantity) : 0
    end

    # Counts the pieces that nobody has reserved.
    def available(sku) = on_hand(sku) - @reserved[sku]

    # Reserves several articles, all of them or none.
    def reserve!(quantities)
      quantities.each do |sku, quantity|
        missing = quantity - available(sku)
        raise OutOfStock.new(sku, missing) if missing.positive?
      end
      quantities.each { |sku, quantity| @reserved[sku] += quantity }
      self
    end

    # Gives reserved pieces free again, at most as many as are reserved.
    def release(sku, quantity)
      @reserved[sku] -= [quantity, @reserved[sku]].min
      self
    end

    # Takes reserved pieces off the shelf, oldest batch first, and returns what they had cost.
    def ship!(sku, quantity)
      raise ArgumentError, "only #{@reserved[sku]} of #{sku} are reserved" if quantity > @reserved[sku]

      @reserved[sku] -= quantity
      cost = 0
      while quantity.positive?
        batch = @batches[sku].first
        taken = [batch.quantity, quantity].min
        batch.quantity -= taken
        quantity -= taken
        cost += taken * batch.cost
        @batches[sku].shift if batch.quantity.zero?
      end
      cost
    end

    # Throws away spoiled batches and returns the lost pieces for each article concerned.
    def discard_spoiled!(day)
      @batches.each_with_object({}) do |(sku, batches), lost|
        spoiled, kept = batches.partition { |batch| batch.spoiled?(day) }
        next if spoiled.empty?

        @batches[sku] = kept
        lost[sku] = spoiled.sum(&:quantity)
      end
    end

    # Sets the level below which an article is ordered again, and the level to fill it up to.
    def keep(sku, minimum:, target:)
      raise ArgumentError, "target #{target} is below minimum #{minimum}" if target < minimum

      @levels[sku] = [minimum, target]
      self
    end

    # Proposes what to order so that no article stays below its minimum.
    def reorder_list
      @levels.filter_map do |sku, (minimum, target)|
        stock = available(sku)
        [sku, target - stock] if stock < minimum
      end.to_h
    end

    # Values all pieces on the shelf at what they had cost.
    def value
      @batches.values.flatten.sum { |batch| batch.quantity * batch.cost }
    end

    # Corrects the stock to what was counted and returns the difference.
    #
    # Missing pieces are taken from the oldest batches, and surplus ones get the latest cost.
    def recount(sku, counted)
      difference = counted - on_hand(sku)
      if difference.positive?
        receive(sku, difference, cost: @batches[sku].last&.cost || 0)
      elsif difference.negative?
        @reserved[sku] += -difference
        ship!(sku, -difference)
      end
      difference
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  stock = DemoInventory::Warehouse.new
  stock.receive("milk", 10, cost: 2, expires: 20).receive("milk", 5, cost: 1, expires: 10).receive("nut", 3, cost: 7)
  stock.keep("nut", minimum: 3, target: 9).keep("oil", minimum: 1, target: 4)
  raise "value" unless stock.value == 20 + 5 + 21
  stock.reserve!({ "milk" => 8, "nut" => 1 })
  raise "available" unless stock.available("milk") == 7 && stock.on_hand("milk") == 15
  raise "ship" unless stock.ship!("milk", 6) == 5 + 2
  raise "reorder" unless stock.reorder_list == { "nut" => 7, "oil" => 4 }
  begin
    stock.reserve!({ "nut" => 1, "milk" => 50 })
    raise "no error"
  rescue DemoInventory::OutOfStock => e
    raise "text" unless e.message == "43 pieces of milk are missing" && e.missing == 43
  end
  raise "nothing reserved" unless stock.available("nut") == 2 && stock.release("nut", 9).available("nut") == 3
  begin
    stock.ship!("nut", 1)
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message == "only 0 of nut are reserved"
  end
  raise "recount" unless stock.recount("nut", 1) == -2 && stock.recount("nut", 4) == 3 && stock.on_hand("nut") == 4
  raise "spoiled" unless stock.discard_spoiled!(30) == { "milk" => 9 } && stock.on_hand("milk").zero?
end

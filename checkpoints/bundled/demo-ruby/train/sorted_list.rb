# frozen_string_literal: true

# A list that is always sorted and therefore can be searched by bisection.
class SortedList
  include Enumerable

  # Merges two sorted arrays into one in linear time.
  def self.merge_sorted(left, right)
    merged = []
    i = j = 0
    while i < left.size && j < right.size
      if left[i] <= right[j]
        merged << left[i]
        i += 1
      else
        merged << right[j]
        j += 1
      end
    end
    merged.concat(left.drop(i), right.drop(j))
  end

  # Sorts the items, by the value of the block if there is one.
  def initialize(items = [], &key)
    @key = key || :itself.to_proc
    @items = items.sort_by(&@key)
  end

  # Inserts an item behind those with an equal key and returns its index.
  def insert(item)
    index = upper_bound(@key.call(item))
    @items.insert(index, item)
    index
  end

  # Deletes one item that equals the given one and tells whether there was any.
  def delete(item)
    index = lower_bound(@key.call(item))
    index += 1 while index < @items.size && @items[index] != item && same_key?(index, item)
    return false unless @items[index] == item

    @items.delete_at(index)
    true
  end

  # Returns the first index whose key is not smaller than the given one.
  def lower_bound(key)
    @items.bsearch_index { |item| (@key.call(item) <=> key) >= 0 } || @items.size
  end

  # Returns the first index whose key is greater than the given one.
  def upper_bound(key)
    @items.bsearch_index { |item| (@key.call(item) <=> key).positive? } || @items.size
  end

  # Lists all items with keys from +low+ up to and including +high+.
  def between(low, high)
    @items[lower_bound(low)...upper_bound(high)]
  end

  # Counts how many items have a smaller key.
  def rank(key) = lower_bound(key)

  # Finds the item whose numeric key is nearest, preferring the smaller one in a tie.
  def nearest(key)
    index = lower_bound(key)
    neighbours = @items[[index - 1, 0].max..index]
    neighbours.min_by { |item| (@key.call(item) - key).abs }
  end

  # Returns the item in the middle; with an even number of items it is the lower of both.
  def median
    @items[(@items.size - 1) / 2] unless @items.empty?
  end

  # Interpolates the value below which the given share of the numbers lies.
  def quantile(share)
    raise ArgumentError, "share must be between 0 and 1" unless share.between?(0, 1)

    position = share * (@items.size - 1)
    below, above = @items.values_at(position.floor, position.ceil)
    below + (above - below) * (position - position.floor)
  end

  # Yields the items from the smallest to the largest key.
  def each(&block)
    return enum_for(:each) { @items.size } unless block

    @items.each(&block)
    self
  end

  # Reads an item by its position in the order.
  def [](index)
    @items[index]
  end

  private

  # Checks whether the item at an index has the same key as the given item.
  def same_key?(index, item)
    @key.call(@items[index]) == @key.call(item)
  end
end

# Counts numbers in classes of equal width and draws them as bars.
class Histogram
  attr_reader :counts

  def initialize(values, bins: 5)
    @low, @high = values.minmax
    @bins = bins
    @counts = values.map { |value| bin_of(value) }.tally
  end

  # Returns the number of the class a value belongs to.
  def bin_of(value)
    return 0 if @high == @low

    [((value - @low).fdiv(@high - @low) * @bins).floor, @bins - 1].min
  end

  # Draws one line for each class, with the longest bar filling the width.
  def to_s(width: 20)
    largest = @counts.values.max
    Array.new(@bins) do |bin|
      "#" * (@counts.fetch(bin, 0) * width / largest)
    end.join("\n")
  end
end

if __FILE__ == $PROGRAM_NAME
  list = SortedList.new([5, 1, 9, 5])
  raise "insert" unless list.insert(6) == 3 && list.to_a == [1, 5, 5, 6, 9]
  raise "bounds" unless list.lower_bound(5) == 1 && list.upper_bound(5) == 3 && list.rank(100) == 5
  raise "between" unless list.between(5, 8) == [5, 5, 6] && list.between(7, 8) == []
  raise "nearest" unless list.nearest(8) == 9 && list.nearest(3) == 1 && list.nearest(50) == 9
  raise "median" unless list.median == 5 && SortedList.new.median.nil?
  raise "quantile" unless list.quantile(0.5) == 5 && list.quantile(0.875) == 7.5
  raise "delete" unless list.delete(5) && !list.delete(7) && list.to_a == [1, 5, 6, 9]
  words = SortedList.new(%w[ccc a bb dd], &:length)
  raise "key" unless words.delete("dd") && !words.delete("zz") && words.to_a == %w[a bb ccc] && words[1] == "bb"
  raise "merge" unless SortedList.merge_sorted([1, 4], [2, 3, 5]) == [1, 2, 3, 4, 5]
  histogram = Histogram.new([0, 1, 2, 9, 10], bins: 2)
  raise "counts" unless histogram.counts == { 0 => 3, 1 => 2 }
  raise "bars" unless histogram.to_s(width: 3) == "###\n##"
end

# frozen_string_literal: true

# A bag: a collection that counts how often each value was put in.
class Multiset
  include Enumerable

  def initialize(values = [])
    @counts = Hash.new(0)
    values.each { |value| add(value) }
  end

  # Puts a value into the bag one or more times.
  def add(value, times = 1)
    raise ArgumentError, "times must not be negative" if times.negative?

    @counts[value] += times if times.positive?
    self
  end

  # Takes out up to +times+ copies of a value and returns how many were really there.
  def remove(value, times = 1)
    taken = [times, count_of(value)].min
    remaining = count_of(value) - taken
    if remaining.zero?
      @counts.delete(value)
    else
      @counts[value] = remaining
    end
    taken
  end

  # Returns how many copies of a value the bag holds, zero for unknown values.
  def count_of(value)
    @counts.fetch(value, 0)
  end

  # Counts all copies of all values.
  def total
    @counts.each_value.sum
  end

  # Lists every value once, without its copies.
  def distinct
    @counts.keys
  end

  # Yields each value as many times as it was added.
  def each
    return enum_for(:each) { total } unless block_given?

    @counts.each do |value, count|
      count.times { yield value }
    end
    self
  end

  # Returns the +limit+ most frequent values with their counts, the most frequent first.
  # Ties are broken by the time of first insertion.
  def most_common(limit = nil)
    ranked = @counts.each_with_index.sort_by { |(_value, count), index| [-count, index] }
    ranked = ranked.first(limit) if limit
    ranked.map(&:first)
  end

  # Merges two bags by adding up the counts of equal values.
  def +(other)
    sum = Multiset.new(self)
    other.each_pair { |value, count| sum.add(value, count) }
    sum
  end

  # Returns a bag with the smaller count of each value that both bags share.
  def &(other)
    distinct.each_with_object(Multiset.new) do |value, shared|
      shared.add(value, [count_of(value), other.count_of(value)].min)
    end
  end

  # Yields every distinct value together with its count.
  def each_pair(&block)
    return enum_for(:each_pair) unless block

    @counts.each_pair(&block)
    self
  end

  # Checks whether this bag can be filled from the other one, counting copies.
  def contained_in?(other)
    @counts.all? { |value, count| count <= other.count_of(value) }
  end

  # Gives the share of all entries that are equal to the value, between 0.0 and 1.0.
  def frequency(value)
    return 0.0 if total.zero?

    count_of(value).fdiv(total)
  end
end

if __FILE__ == $PROGRAM_NAME
  bag = Multiset.new(%w[a b a c a b])
  raise "count" unless bag.count_of("a") == 3 && bag.count_of("z").zero?
  raise "total" unless bag.total == 6 && bag.distinct == %w[a b c]
  raise "each" unless bag.to_a == %w[a a a b b c]
  raise "common" unless bag.most_common(2) == [["a", 3], ["b", 2]]
  raise "plus" unless (bag + Multiset.new(%w[c])).count_of("c") == 2
  raise "and" unless (bag & Multiset.new(%w[a a x])).to_a == %w[a a]
  raise "remove" unless bag.remove("b", 5) == 2 && bag.count_of("b").zero?
  raise "contained" unless Multiset.new(%w[a c]).contained_in?(bag)
  raise "frequency" unless bag.frequency("a") == 0.75 && Multiset.new.frequency(1) == 0.0
end

# frozen_string_literal: true

# A buffer of fixed capacity that overwrites its oldest entry when it is full.
class RingBuffer
  include Enumerable

  # Raised when something is read from a buffer that holds nothing.
  class EmptyError < StandardError; end

  attr_reader :capacity, :size

  # Allocates room for +capacity+ entries and starts out empty.
  def initialize(capacity)
    raise ArgumentError, "capacity must be positive" unless capacity.positive?

    @capacity = capacity
    @slots = Array.new(capacity)
    @start = 0
    @size = 0
  end

  # Writes a value behind the newest one and, when the buffer is full, returns the entry it pushed out.
  def push(value)
    evicted = full? ? @slots[@start] : nil
    @slots[(@start + @size) % @capacity] = value
    if full?
      @start = (@start + 1) % @capacity
    else
      @size += 1
    end
    evicted
  end

  # Takes the oldest entry out of the buffer.
  #
  # Raises EmptyError when there is nothing to take.
  def shift
    raise EmptyError, "buffer is empty" if empty?

    value = @slots[@start]
    @slots[@start] = nil
    @start = (@start + 1) % @capacity
    @size -= 1
    value
  end

  # Returns the entry at a logical index, where 0 is the oldest and -1 the newest.
  def [](index)
    index += @size if index.negative?
    return nil unless index.between?(0, @size - 1)

    @slots[(@start + index) % @capacity]
  end

  # Tells whether the next push will overwrite an entry.
  def full?
    @size == @capacity
  end

  # Tells whether nothing has been stored yet.
  def empty? = @size.zero?

  # Walks through the entries from the oldest to the newest.
  def each
    return to_enum(:each) { @size } unless block_given?

    @size.times { |offset| yield self[offset] }
    self
  end

  # Forgets all entries and frees their slots.
  def clear!
    @slots.fill(nil)
    @start = @size = 0
    self
  end

  # Computes the mean of the stored numbers, or nil when there are none.
  def average
    return nil if empty?

    sum.to_f / @size
  end

  # Returns a bigger or smaller copy that keeps as many of the newest entries as fit.
  def resize(new_capacity)
    copy = RingBuffer.new(new_capacity)
    each { |value| copy.push(value) }
    copy
  end
end

if __FILE__ == $PROGRAM_NAME
  ring = RingBuffer.new(3)
  raise "empty" unless ring.empty? && ring.average.nil?
  evicted = [1, 2, 3, 4].map { |n| ring.push(n) }
  raise "evict" unless evicted == [nil, nil, nil, 1]
  raise "each" unless ring.to_a == [2, 3, 4] && ring.full?
  raise "index" unless ring[0] == 2 && ring[-1] == 4 && ring[3].nil?
  raise "average" unless ring.average == 3.0
  raise "resize" unless ring.resize(2).to_a == [3, 4]
  raise "shift" unless ring.shift == 2 && ring.size == 2
  ring.clear!
  begin
    ring.shift
    raise "must not shift"
  rescue RingBuffer::EmptyError
    nil
  end
end

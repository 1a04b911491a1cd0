# frozen_string_literal: true

# A set that remembers the order in which its members arrived.
class OrderedSet
  include Enumerable

  # Builds a set from the given values, dropping repeats but keeping the first position of each.
  def self.of(*values)
    values.each_with_object(new) { |value, set| set.add(value) }
  end

  def initialize(values = [])
    @positions = {}
    values.each { |value| add(value) }
  end

  # Appends a value unless it is already a member and returns the set, so that calls can be chained.
  def add(value)
    @positions[value] = true unless @positions.key?(value)
    self
  end
  alias << add

  # Adds the value and tells whether the set grew because of it.
  def add?(value)
    before = size
    add(value)
    size > before
  end

  # Removes a value from the set.
  #
  # Returns the removed value, or the result of the block when the value
  # was never a member.
  def delete(value)
    return @positions.delete(value) && value if @positions.key?(value)

    yield value if block_given?
  end

  # Yields every member in insertion order, or returns an enumerator when no block is given.
  def each(&block)
    return enum_for(:each) { size } unless block

    @positions.each_key(&block)
    self
  end

  # Returns the number of distinct members.
  def size
    @positions.length
  end

  # Checks whether the set has no members at all.
  def empty?
    @positions.empty?
  end

  # Checks membership by hash lookup instead of walking over all members.
  def include?(value)
    @positions.key?(value)
  end
  alias member? include?

  # Returns a new set with the members of both sets, those of the receiver first.
  def |(other)
    other.each_with_object(dup) { |value, union| union.add(value) }
  end

  # Returns a new set that holds only the members also found in the other collection,
  # in the order of the receiver.
  def &(other)
    wanted = other.to_a
    self.class.new(select { |value| wanted.include?(value) })
  end

  # Subtracts the members of another collection and returns what is left as a new set.
  def -(other)
    self.class.new(to_a - other.to_a)
  end

  # Checks whether every member of this set is also a member of the other set.
  def subset_of?(other)
    size <= other.size && all? { |value| other.include?(value) }
  end

  # Moves an existing member to the end of the order.
  #
  #   OrderedSet.of(1, 2, 3).touch(1).to_a  # => [2, 3, 1]
  #
  # Raises KeyError if the value is unknown.
  def touch(value)
    raise KeyError, "not a member: #{value.inspect}" unless include?(value)

    @positions.delete(value)
    add(value)
  end

  # Finds the zero-based position of a member, or nil for a stranger.
  def index_of(value)
    each_with_index { |member, index| return index if member == value }
    nil
  end

  # Compares two sets member by member; the order counts.
  def ==(other)
    other.is_a?(OrderedSet) && to_a == other.to_a
  end

  private

  # Copies the inner hash so that a duplicate does not share members with its source.
  def initialize_copy(source)
    super
    @positions = @positions.dup
  end
end

if __FILE__ == $PROGRAM_NAME
  set = OrderedSet.of(3, 1, 3, 2)
  raise "order" unless set.to_a == [3, 1, 2]
  raise "add?" unless set.add?(9) && !set.add?(9)
  raise "delete" unless set.delete(9) == 9 && set.delete(42) { :none } == :none
  raise "union" unless (set | [7]).to_a == [3, 1, 2, 7] && set.size == 3
  raise "intersection" unless (set & [2, 3]).to_a == [3, 2]
  raise "difference" unless (set - [1]).to_a == [3, 2]
  raise "subset" unless OrderedSet.of(1).subset_of?(set) && !set.subset_of?(OrderedSet.of(1))
  raise "touch" unless set.touch(3).to_a == [1, 2, 3] && set.index_of(3) == 2
  raise "equal" unless set == OrderedSet.of(1, 2, 3) && set != OrderedSet.of(3, 2, 1)
  raise "enum" unless set.each.size == 3 && !set.empty?
end

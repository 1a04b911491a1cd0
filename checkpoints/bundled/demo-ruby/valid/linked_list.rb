# frozen_string_literal: true

# A doubly linked list that can grow and shrink at both ends.
class LinkedList
  include Enumerable

  Node = Struct.new(:value, :previous, :following)

  attr_reader :length

  # Builds a list from any enumerable object.
  def self.from(values)
    values.each_with_object(new) { |value, list| list.append(value) }
  end

  def initialize
    @head = nil
    @tail = nil
    @length = 0
  end

  # Attaches a value behind the last node.
  def append(value)
    node = Node.new(value, @tail, nil)
    @tail ? @tail.following = node : @head = node
    @tail = node
    @length += 1
    self
  end

  # Puts a value in front of the first node.
  def prepend(value)
    node = Node.new(value, nil, @head)
    @head ? @head.previous = node : @tail = node
    @head = node
    @length += 1
    self
  end

  # Detaches the first node and returns its value, or nil for an empty list.
  def pop_front
    unlink(@head)&.value
  end

  # Detaches the last node and returns its value, or nil for an empty list.
  def pop_back
    unlink(@tail)&.value
  end

  # Inserts a value behind the first node that satisfies the block and tells whether there was one.
  def insert_after(value)
    node = each_node.find { |candidate| yield candidate.value }
    return false unless node
    return append(value) && true if node.equal?(@tail)

    fresh = Node.new(value, node, node.following)
    node.following.previous = fresh
    node.following = fresh
    @length += 1
    true
  end

  # Removes all nodes whose value equals the given one and returns their number.
  def remove_all(value)
    matching = each_node.select { |node| node.value == value }
    matching.each { |node| unlink(node) }
    matching.size
  end

  # Yields the values from the head to the tail.
  def each
    return enum_for(:each) { length } unless block_given?

    each_node { |node| yield node.value }
    self
  end

  # Yields the values from the tail back to the head.
  def reverse_each
    return enum_for(:reverse_each) unless block_given?

    node = @tail
    while node
      yield node.value
      node = node.previous
    end
    self
  end

  # Reverses the list in place by swapping both links of each node.
  def reverse!
    each_node.to_a.each do |node|
      node.previous, node.following = node.following, node.previous
    end
    @head, @tail = @tail, @head
    self
  end

  # Shifts the first +count+ values to the end of the list.
  def rotate!(count = 1)
    return self if length < 2

    (count % length).times { append(pop_front) }
    self
  end

  # Checks whether the list reads the same in both directions.
  def palindrome?
    each.zip(reverse_each).all? { |left, right| left == right }
  end

  private

  # Yields the nodes themselves, for methods that change their links.
  def each_node
    return enum_for(:each_node) unless block_given?

    node = @head
    while node
      following = node.following
      yield node
      node = following
    end
  end

  # Takes a node out of the chain and connects its neighbours with each other.
  def unlink(node)
    return nil unless node

    node.previous ? node.previous.following = node.following : @head = node.following
    node.following ? node.following.previous = node.previous : @tail = node.previous
    @length -= 1
    node
  end
end

if __FILE__ == $PROGRAM_NAME
  list = LinkedList.from([2, 3]).prepend(1).append(4)
  raise "order" unless list.to_a == [1, 2, 3, 4] && list.reverse_each.to_a == [4, 3, 2, 1]
  raise "pop" unless list.pop_front == 1 && list.pop_back == 4 && list.length == 2
  raise "insert" unless list.insert_after(9) { |value| value == 2 } && list.insert_after(3) { |value| value == 3 }
  raise "inserted" unless list.to_a == [2, 9, 3, 3] && !list.insert_after(0) { false }
  raise "remove" unless list.remove_all(3) == 2 && list.reverse_each.to_a == [9, 2]
  raise "reverse" unless list.append(5).reverse!.to_a == [5, 9, 2] && list.reverse_each.to_a == [2, 9, 5]
  raise "rotate" unless list.rotate!(2).to_a == [2, 5, 9]
  raise "palindrome" unless LinkedList.from([1, 2, 1]).palindrome? && !list.palindrome?
  3.times { list.pop_back }
  raise "empty" unless list.pop_front.nil? && list.length.zero? && list.append(1).first == 1
end

# frozen_string_literal: true

# A binary heap and a task queue that is built on top of it.
class PriorityQueue
  # Returns the k smallest items of a collection in ascending order without sorting all of it.
  def self.smallest(items, count)
    queue = new { |a, b| b <=> a }
    items.each do |item|
      queue.push(item)
      queue.pop if queue.size > count
    end
    queue.drain.reverse
  end

  # Creates an empty queue; an optional block compares two items and the smaller one comes out first.
  def initialize(items = [], &comparison)
    @comparison = comparison || ->(a, b) { a <=> b }
    @heap = []
    items.each { |item| push(item) }
  end

  # Inserts an item and lets it rise to its place in the heap.
  def push(item)
    @heap << item
    sift_up(@heap.size - 1)
    self
  end
  alias << push

  # Removes and returns the first item, or nil if the queue is empty.
  def pop
    return nil if @heap.empty?

    swap(0, @heap.size - 1)
    top = @heap.pop
    sift_down(0)
    top
  end

  # Shows the first item without removing it.
  def peek
    @heap.first
  end

  # Returns the number of waiting items.
  def size = @heap.size

  # Checks whether no item is waiting.
  def empty? = @heap.empty?

  # Pops all items and returns them in order.
  def drain
    items = []
    items << pop until empty?
    items
  end

  # Replaces the first item by another one, which is cheaper than a pop followed by a push.
  def replace_top(item)
    old = @heap.first
    @heap[0] = item
    sift_down(0)
    old
  end

  private

  # Tells whether the item at the first index must come out before the one at the second.
  def before?(left, right)
    @comparison.call(@heap[left], @heap[right]).negative?
  end

  # Exchanges two slots of the heap.
  def swap(left, right)
    @heap[left], @heap[right] = @heap[right], @heap[left]
  end

  # Moves an item towards the root until its parent is not larger.
  def sift_up(index)
    while index.positive?
      parent = (index - 1) / 2
      break unless before?(index, parent)

      swap(index, parent)
      index = parent
    end
  end

  # Moves an item towards the leaves until both of its children are at least as large.
  def sift_down(index)
    loop do
      children = [2 * index + 1, 2 * index + 2].select { |child| child < @heap.size }
      smallest = children.reduce { |a, b| before?(b, a) ? b : a }
      break unless smallest && before?(smallest, index)

      swap(index, smallest)
      index = smallest
    end
  end
end

# Runs blocks in order of their priority, first come first served among equals.
class TaskQueue
  Task = Struct.new(:priority, :number, :work)

  def initialize
    @queue = PriorityQueue.new { |a, b| [a.priority, a.number] <=> [b.priority, b.number] }
    @counter = 0
  end

  # Schedules the block with a priority, where lower numbers run earlier.
  def enqueue(priority: 5, &work)
    raise ArgumentError, "a block is required" unless work

    @counter += 1
    @queue << Task.new(priority, @counter, work)
    @counter
  end

  # Runs every scheduled block, including those that are enqueued meanwhile, and returns their results.
  def run_all
    results = []
    until @queue.empty?
      task = @queue.pop
      results << task.work.call
    end
    results
  end
end

if __FILE__ == $PROGRAM_NAME
  queue = PriorityQueue.new([5, 1, 4])
  queue << 3
  raise "peek" unless queue.peek == 1 && queue.size == 4
  raise "replace" unless queue.replace_top(9) == 1
  raise "drain" unless queue.drain == [3, 4, 5, 9] && queue.pop.nil? && queue.empty?
  raise "smallest" unless PriorityQueue.smallest([7, 2, 9, 1, 5], 3) == [1, 2, 5]
  tasks = TaskQueue.new
  tasks.enqueue { :normal }
  tasks.enqueue(priority: 1) { tasks.enqueue(priority: 2) { :nested } && :urgent }
  raise "tasks" unless tasks.run_all == %i[urgent nested normal]
end

# frozen_string_literal: true

# Half-open intervals, an interval tree for overlap queries and a merged list of intervals.
Interval = Struct.new(:first, :last) do
  include Comparable

  # Orders intervals by their start and then by their end.
  def <=>(other)
    [first, last] <=> [other.first, other.last]
  end

  # Checks whether two intervals share at least one point.
  def overlap?(other)
    first < other.last && other.first < last
  end

  # Checks whether a point lies in the interval; the end itself does not belong to it.
  def cover?(point)
    point >= first && point < last
  end

  # Returns the common part of two intervals, or nil if they are disjoint.
  def intersect(other)
    return nil unless overlap?(other)

    Interval.new([first, other.first].max, [last, other.last].min)
  end

  # Measures the distance between start and end.
  def length = last - first
end

# A search tree over intervals, in which each node knows the largest end below it.
class IntervalTree
  Node = Struct.new(:interval, :max, :left, :right)

  # Builds a balanced tree from an unsorted list of intervals.
  def initialize(intervals)
    @root = build(intervals.sort)
  end

  # Collects all intervals that overlap with the given one, in sorted order.
  def overlapping(query)
    found = []
    search(@root, query, found)
    found
  end

  # Returns the intervals that contain the point.
  def at(point)
    stab(@root, point, [])
  end

  # Returns the number of levels in the tree.
  def height(node = @root)
    node ? 1 + [height(node.left), height(node.right)].max : 0
  end

  private

  # Takes the middle of the sorted list as root and builds both halves recursively.
  def build(sorted)
    return nil if sorted.empty?

    middle = sorted.size / 2
    left = build(sorted[0...middle])
    right = build(sorted[(middle + 1)..])
    max = [sorted[middle].last, left&.max, right&.max].compact.max
    Node.new(sorted[middle], max, left, right)
  end

  # Visits only subtrees that can still overlap and adds the matches to the result.
  def search(node, query, found)
    return if node.nil? || node.max <= query.first

    search(node.left, query, found)
    found << node.interval if node.interval.overlap?(query)
    search(node.right, query, found) if node.interval.first < query.last
  end

  # Descends to all nodes whose interval covers the point and gathers their intervals.
  def stab(node, point, hits)
    return hits if node.nil? || node.max <= point

    stab(node.left, point, hits)
    hits << node.interval if node.interval.cover?(point)
    stab(node.right, point, hits)
  end
end

# Helpers that treat a list of intervals as one area on the number line.
module IntervalList
  module_function

  # Joins intervals that overlap or touch each other, so that the result has only gaps between its parts.
  def merge(intervals)
    intervals.sort.each_with_object([]) do |interval, merged|
      if merged.any? && interval.first <= merged.last.last
        last = merged.pop
        merged << Interval.new(last.first, [last.last, interval.last].max)
      else
        merged << interval
      end
    end
  end

  # Lists the free intervals between the merged ones.
  def gaps(intervals)
    merge(intervals).each_cons(2).map do |before, after|
      Interval.new(before.last, after.first)
    end
  end

  # Adds up the lengths after merging, so that no point is counted twice.
  def coverage(intervals)
    merge(intervals).sum(&:length)
  end
end

if __FILE__ == $PROGRAM_NAME
  list = [[5, 8], [1, 3], [2, 6], [10, 12]].map { |pair| Interval.new(*pair) }
  tree = IntervalTree.new(list)
  raise "overlap" unless tree.overlapping(Interval.new(2, 3)).map(&:to_a) == [[1, 3], [2, 6]]
  raise "none" unless tree.overlapping(Interval.new(8, 10)).empty?
  raise "at" unless tree.at(5).map(&:to_a) == [[2, 6], [5, 8]] && tree.at(12).empty?
  raise "height" unless tree.height == 3
  raise "merge" unless IntervalList.merge(list).map(&:to_a) == [[1, 8], [10, 12]]
  raise "gaps" unless IntervalList.gaps(list).map(&:to_a) == [[8, 10]]
  raise "coverage" unless IntervalList.coverage(list) == 9
  raise "intersect" unless list[0].intersect(list[2]) == Interval.new(5, 6)
  raise "disjoint" unless list[0].intersect(list[1]).nil?
end

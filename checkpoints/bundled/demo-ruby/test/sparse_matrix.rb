# frozen_string_literal: true

# A matrix that stores only the entries that are not zero.
class SparseMatrix
  # Raised when the shapes of two matrices do not fit together.
  class ShapeError < ArgumentError; end

  attr_reader :height, :width

  # Converts nested arrays of numbers into a sparse matrix.
  def self.from_rows(rows)
    matrix = new(rows.size, rows.first&.size || 0)
    rows.each_with_index do |row, i|
      row.each_with_index { |number, j| matrix[i, j] = number }
    end
    matrix
  end

  # Creates a square matrix with ones on its diagonal.
  def self.identity(size)
    size.times.with_object(new(size, size)) { |index, matrix| matrix[index, index] = 1 }
  end

  def initialize(height, width)
    @height = height
    @width = width
    @entries = {}
  end

  # Reads the number at a row and a column, which is zero unless something was stored there.
  def [](row, column)
    @entries.fetch([row, column], 0)
  end

  # Stores a number, or erases the entry when the number is zero.
  def []=(row, column, number)
    unless row.between?(0, height - 1) && column.between?(0, width - 1)
      raise IndexError, "no entry at #{row}, #{column} in a #{height}x#{width} matrix"
    end

    number.zero? ? @entries.delete([row, column]) : @entries[[row, column]] = number
  end

  # Counts the stored entries.
  def nonzero_count = @entries.size

  # Gives the share of entries that are zero.
  def sparsity
    1.0 - nonzero_count.fdiv(height * width)
  end

  # Yields each stored number with its row and its column.
  def each_entry
    return enum_for(:each_entry) unless block_given?

    @entries.each { |(row, column), number| yield number, row, column }
  end

  # Adds two matrices of the same shape.
  def +(other)
    unless [height, width] == [other.height, other.width]
      raise ShapeError, "cannot add #{shape} and #{other.shape}"
    end

    [self, other].each_with_object(SparseMatrix.new(height, width)) do |matrix, sum|
      matrix.each_entry { |number, row, column| sum[row, column] += number }
    end
  end

  # Multiplies with another matrix, visiting only pairs of entries that contribute to the product.
  def *(other)
    raise ShapeError, "cannot multiply #{shape} and #{other.shape}" unless width == other.height

    by_row = other.each_entry.group_by { |_number, row, _column| row }
    product = SparseMatrix.new(height, other.width)
    each_entry do |left, row, inner|
      by_row.fetch(inner, []).each do |right, _inner, column|
        product[row, column] += left * right
      end
    end
    product
  end

  # Raises a square matrix to a whole power by repeated squaring.
  def **(other)
    result = SparseMatrix.identity(height)
    base = self
    exponent = other
    while exponent.positive?
      result *= base if exponent.odd?
      base *= base
      exponent /= 2
    end
    result
  end

  # Swaps rows and columns of every entry in a new matrix.
  def transpose
    each_entry.with_object(SparseMatrix.new(width, height)) do |(number, row, column), flipped|
      flipped[column, row] = number
    end
  end

  # Adds up the entries on the main diagonal.
  def trace
    each_entry.sum { |number, row, column| row == column ? number : 0 }
  end

  # Checks whether the matrix equals its own transpose.
  def symmetric?
    height == width && each_entry.all? { |number, row, column| self[column, row] == number }
  end

  # Removes entries whose absolute value is below a limit and reports how many were dropped.
  def prune!(limit)
    before = nonzero_count
    @entries.reject! { |_position, number| number.abs < limit }
    before - nonzero_count
  end

  # Expands the matrix to nested arrays, zeros included.
  def to_rows
    Array.new(height) { |row| Array.new(width) { |column| self[row, column] } }
  end

  # Describes the shape for messages, for example "2x3".
  def shape
    "#{height}x#{width}"
  end
end

# Groups elements into disjoint sets that can be merged.
class DisjointSets
  def initialize(elements)
    @parents = elements.to_h { |element| [element, element] }
    @sizes = Hash.new(1)
  end

  # Finds the representative of the set an element belongs to and shortens the way for later calls.
  def find(element)
    root = element
    root = @parents.fetch(root) until @parents.fetch(root) == root
    while @parents[element] != root
      @parents[element], element = root, @parents[element]
    end
    root
  end

  # Unites the sets of two elements and returns false if they were in the same set before.
  def union(left, right)
    big, small = [find(left), find(right)].sort_by { |root| -@sizes[root] }
    return false if big == small

    @parents[small] = big
    @sizes[big] += @sizes[small]
    true
  end

  # Checks whether two elements belong to the same set.
  def together?(left, right)
    find(left) == find(right)
  end

  # Lists all sets as arrays of their elements.
  def groups
    @parents.keys.group_by { |element| find(element) }.values
  end
end

if __FILE__ == $PROGRAM_NAME
  a = SparseMatrix.from_rows([[1, 0, 2], [0, 3, 0]])
  raise "count" unless a.nonzero_count == 3 && a.sparsity == 0.5
  raise "read" unless a[0, 2] == 2 && a[1, 0].zero?
  raise "sum" unless (a + a).to_rows == [[2, 0, 4], [0, 6, 0]]
  raise "transpose" unless a.transpose.to_rows == [[1, 0], [0, 3], [2, 0]]
  raise "product" unless (a * a.transpose).to_rows == [[5, 0], [0, 9]]
  fibonacci = SparseMatrix.from_rows([[1, 1], [1, 0]])
  raise "power" unless (fibonacci**10)[0, 1] == 55 && (fibonacci**0).trace == 2
  raise "symmetric" unless fibonacci.symmetric? && !a.symmetric?
  raise "prune" unless a.prune!(2) == 1 && a.each_entry.count == 2
  begin
    (fibonacci * a.transpose).trace
    raise "must not multiply"
  rescue SparseMatrix::ShapeError => e
    raise "message" unless e.message == "cannot multiply 2x2 and 3x2"
  end
  sets = DisjointSets.new(1..6)
  raise "union" unless sets.union(1, 2) && sets.union(3, 4) && sets.union(2, 4) && !sets.union(1, 3)
  raise "together" unless sets.together?(1, 4) && !sets.together?(1, 5)
  raise "groups" unless sets.groups.map(&:sort) == [[1, 2, 3, 4], [5], [6]]
end

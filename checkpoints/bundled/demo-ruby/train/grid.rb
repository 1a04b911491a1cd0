# frozen_string_literal: true

# A rectangular grid of cells with neighbours, flood fill and transformations.
class Grid
  include Enumerable

  STRAIGHT = [[-1, 0], [0, 1], [1, 0], [0, -1]].freeze
  DIAGONAL = [[-1, -1], [-1, 1], [1, 1], [1, -1]].freeze

  attr_reader :rows, :columns

  # Parses a drawing where every line is a row and every character a cell.
  def self.parse(text)
    lines = text.lines(chomp: true)
    width = lines.map(&:length).max || 0
    new(lines.length, width) { |row, column| lines[row][column] || " " }
  end

  def initialize(rows, columns)
    @rows = rows
    @columns = columns
    @cells = Array.new(rows) do |row|
      Array.new(columns) { |column| block_given? ? yield(row, column) : nil }
    end
  end

  # Reads a cell, or returns nil when the position lies outside of the grid.
  def [](row, column)
    @cells[row][column] if inside?(row, column)
  end

  # Writes a cell and refuses positions outside of the grid.
  def []=(row, column, value)
    raise IndexError, "outside of the grid: #{row}, #{column}" unless inside?(row, column)

    @cells[row][column] = value
  end

  # Checks whether a position lies within the bounds of the grid.
  def inside?(row, column)
    row.between?(0, @rows - 1) && column.between?(0, @columns - 1)
  end

  # Yields the value, row and column of every cell, row by row.
  def each
    return enum_for(:each) { @rows * @columns } unless block_given?

    @cells.each_with_index do |line, row|
      line.each_with_index { |value, column| yield value, row, column }
    end
  end

  # Lists the positions around a cell that still lie inside, optionally with the diagonal ones.
  def neighbours(row, column, diagonal: false)
    steps = diagonal ? STRAIGHT + DIAGONAL : STRAIGHT
    steps.map { |down, right| [row + down, column + right] }
         .select { |position| inside?(*position) }
  end

  # Returns the first position that holds the value, as row and column.
  def locate(wanted)
    each { |value, row, column| return [row, column] if value == wanted }
    nil
  end

  # Fills the connected area of equal cells around a start with a new value.
  #
  # Returns the number of cells that were changed.
  def flood_fill(row, column, value)
    old = self[row, column]
    return 0 if old == value

    pending = [[row, column]]
    filled = 0
    until pending.empty?
      position = pending.pop
      next unless self[*position] == old

      self[*position] = value
      filled += 1
      pending.concat(neighbours(*position))
    end
    filled
  end

  # Returns a new grid in which rows and columns have changed places.
  def transpose
    Grid.new(@columns, @rows) { |row, column| self[column, row] }
  end

  # Turns the grid clockwise by a quarter and returns the result as a new grid.
  def rotate
    Grid.new(@columns, @rows) { |row, column| self[@rows - 1 - column, row] }
  end

  # Mirrors every row in place, so that the first column becomes the last.
  def mirror!
    @cells.each(&:reverse!)
    self
  end

  # Counts the steps of the shortest path between two cells, walking only where the block allows it.
  # The result is nil if there is no path.
  def distance(from, to)
    steps = { from => 0 }
    pending = [from]
    while (position = pending.shift)
      return steps[position] if position == to

      neighbours(*position).each do |cell|
        next if steps.key?(cell) || !yield(self[*cell])

        steps[cell] = steps[position] + 1
        pending << cell
      end
    end
    nil
  end

  # Draws the grid as text, one line for each row.
  def to_s
    @cells.map(&:join).join("\n")
  end
end

if __FILE__ == $PROGRAM_NAME
  grid = Grid.parse(<<~MAP)
    S.#
    .##
    ..E
  MAP
  raise "size" unless grid.rows == 3 && grid.columns == 3
  raise "read" unless grid[0, 2] == "#" && grid[5, 5].nil?
  raise "locate" unless grid.locate("E") == [2, 2] && grid.locate("?").nil?
  raise "neighbours" unless grid.neighbours(0, 0) == [[0, 1], [1, 0]]
  raise "diagonal" unless grid.neighbours(1, 1, diagonal: true).size == 8
  raise "distance" unless grid.distance([0, 0], [2, 2]) { |cell| cell != "#" } == 4
  raise "rotate" unless grid.rotate.to_s == "..S\n.#.\nE##"
  raise "transpose" unless grid.transpose.to_s == "S..\n.#.\n##E"
  raise "fill" unless grid.flood_fill(1, 0, "~") == 3
  raise "mirror" unless grid.mirror!.to_s == "#.S\n##~\nE~~"
  begin
    grid[9, 9] = 1
    raise "must not write"
  rescue IndexError
    nil
  end
end

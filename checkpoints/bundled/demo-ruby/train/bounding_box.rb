# frozen_string_literal: true

# Rectangles whose sides are parallel to the axes, and a packer that places them on a sheet.
class BoundingBox
  # Wraps a list of x/y pairs into the smallest box that contains all of them.
  def self.around(points)
    raise ArgumentError, "no points given" if points.empty?

    xs, ys = points.transpose
    new(xs.min, ys.min, xs.max, ys.max)
  end

  attr_reader :left, :top, :right, :bottom

  def initialize(left, top, right, bottom)
    @left, @right = [left, right].minmax
    @top, @bottom = [top, bottom].minmax
  end

  # Returns the horizontal extent.
  def width = right - left

  # Returns the vertical extent.
  def height = bottom - top

  # Multiplies width and height.
  def area
    width * height
  end

  # Computes the point at which both diagonals meet.
  def center
    [(left + right) / 2.0, (top + bottom) / 2.0]
  end

  # Checks whether a point lies inside of the box or on its border.
  def contains?(x, y)
    x.between?(left, right) && y.between?(top, bottom)
  end

  # Checks whether the other box fits completely into this one.
  def encloses?(other)
    contains?(other.left, other.top) && contains?(other.right, other.bottom)
  end

  # Tells whether two boxes share some area; touching sides are not enough.
  def intersects?(other)
    left < other.right && other.left < right && top < other.bottom && other.top < bottom
  end

  # Returns the box that both boxes have in common, or nil when they lie apart.
  def intersection(other)
    return nil unless intersects?(other)

    BoundingBox.new([left, other.left].max, [top, other.top].max,
                    [right, other.right].min, [bottom, other.bottom].min)
  end

  # Returns the smallest box around both boxes.
  def union(other)
    BoundingBox.new([left, other.left].min, [top, other.top].min,
                    [right, other.right].max, [bottom, other.bottom].max)
  end

  # Divides the shared area by the area of the union, a common measure for overlapping detections.
  def overlap_ratio(other)
    shared = intersection(other)&.area || 0
    shared.fdiv(area + other.area - shared)
  end

  # Grows the box by a margin on every side, or shrinks it when the margin is negative.
  def inflate(margin)
    BoundingBox.new(left - margin, top - margin, right + margin, bottom + margin)
  end

  # Moves the box without changing its size.
  def translate(right_by, down_by)
    BoundingBox.new(left + right_by, top + down_by, right + right_by, bottom + down_by)
  end

  # Scales the box to fit into a frame while it keeps its proportions, and centers it there.
  def fit_into(frame)
    factor = [frame.width.fdiv(width), frame.height.fdiv(height)].min
    middle_x, middle_y = frame.center
    half_width = width * factor / 2
    half_height = height * factor / 2
    BoundingBox.new(middle_x - half_width, middle_y - half_height,
                    middle_x + half_width, middle_y + half_height)
  end

  # Cuts the box into equal tiles and yields them row by row.
  def each_tile(columns, rows)
    return enum_for(:each_tile, columns, rows) unless block_given?

    rows.times do |row|
      columns.times do |column|
        x = left + width.fdiv(columns) * column
        y = top + height.fdiv(rows) * row
        yield BoundingBox.new(x, y, x + width.fdiv(columns), y + height.fdiv(rows))
      end
    end
  end

  # Lists the coordinates in the order left, top, right, bottom.
  def to_a
    [left, top, right, bottom]
  end

  # Compares boxes by their coordinates.
  def ==(other)
    other.is_a?(BoundingBox) && to_a == other.to_a
  end
end

# Places boxes on shelves of a sheet with a fixed width.
class ShelfPacker
  def initialize(sheet_width)
    @sheet_width = sheet_width
    @x = @y = @shelf_height = 0
  end

  # Finds room for a box of the given size and opens a new shelf when the current one is full.
  def place(width, height)
    raise ArgumentError, "wider than the sheet" if width > @sheet_width

    if @x + width > @sheet_width
      @y += @shelf_height
      @x = @shelf_height = 0
    end
    box = BoundingBox.new(@x, @y, @x + width, @y + height)
    @x += width
    @shelf_height = [@shelf_height, height].max
    box
  end

  # Returns the height that all shelves together need so far.
  def used_height
    @y + @shelf_height
  end
end

if __FILE__ == $PROGRAM_NAME
  a = BoundingBox.new(4, 4, 0, 0)
  b = BoundingBox.new(2, 2, 6, 5)
  raise "around" unless BoundingBox.around([[1, 5], [3, 2]]).to_a == [1, 2, 3, 5]
  raise "size" unless a.area == 16 && a.center == [2.0, 2.0] && b.width == 4
  raise "contains" unless a.contains?(4, 0) && !a.contains?(5, 0)
  raise "intersection" unless a.intersection(b).to_a == [2, 2, 4, 4]
  raise "apart" unless a.intersection(b.translate(9, 0)).nil?
  raise "union" unless a.union(b).to_a == [0, 0, 6, 5] && a.union(b).encloses?(b)
  raise "ratio" unless a.overlap_ratio(b) == 4.fdiv(24)
  raise "inflate" unless a.inflate(1).inflate(-1) == a
  raise "fit" unless BoundingBox.new(0, 0, 2, 1).fit_into(a).to_a == [0.0, 1.0, 4.0, 3.0]
  raise "tiles" unless a.each_tile(2, 2).to_a.last.to_a == [2.0, 2.0, 4.0, 4.0]
  packer = ShelfPacker.new(10)
  boxes = [[6, 2], [4, 3], [5, 1]].map { |size| packer.place(*size) }
  raise "pack" unless boxes.map { |box| [box.left, box.top] } == [[0, 0], [6, 0], [0, 3]]
  raise "height" unless packer.used_height == 4
end

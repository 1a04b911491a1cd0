# frozen_string_literal: true

# Simple polygons given by their corners in order.
class Polygon
  Point = Struct.new(:x, :y)

  # Builds a polygon with equal sides around a center.
  def self.regular(sides, radius: 1.0, center: Point.new(0, 0))
    raise ArgumentError, "a polygon needs at least 3 sides" if sides < 3

    new(Array.new(sides) do |index|
      angle = 2 * Math::PI * index / sides
      Point.new(center.x + radius * Math.cos(angle), center.y + radius * Math.sin(angle))
    end)
  end

  # Computes the smallest convex polygon around a cloud of points.
  def self.convex_hull(points)
    sorted = points.uniq.sort_by(&:to_a)
    return new(sorted) if sorted.size < 3

    lower = half_hull(sorted)
    upper = half_hull(sorted.reverse)
    new(lower[0..-2] + upper[0..-2])
  end

  # Walks along sorted points and drops each one that would make a right turn.
  def self.half_hull(points)
    points.each_with_object([]) do |point, hull|
      hull.pop while hull.size > 1 && turn(hull[-2], hull[-1], point) <= 0
      hull << point
    end
  end
  private_class_method :half_hull

  # Tells by its sign to which side the way from a over b to c bends; positive means left.
  def self.turn(a, b, c)
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
  end

  attr_reader :corners

  def initialize(corners)
    @corners = corners.map { |corner| corner.is_a?(Point) ? corner : Point.new(*corner) }
  end

  # Yields the two ends of each side, including the side that closes the polygon.
  def each_side(&block)
    return enum_for(:each_side) unless block

    @corners.zip(@corners.rotate).each(&block)
  end

  # Sums up the lengths of all sides.
  def perimeter
    each_side.sum { |from, to| Math.hypot(to.x - from.x, to.y - from.y) }
  end

  # Computes the area with a sign that is positive for counterclockwise corners.
  def signed_area
    each_side.sum { |from, to| from.x * to.y - to.x * from.y } / 2.0
  end

  # Returns the size of the enclosed area.
  def area
    signed_area.abs
  end

  # Locates the center of mass.
  def centroid
    factor = 6 * signed_area
    sums = each_side.each_with_object([0, 0]) do |(from, to), sum|
      cross = from.x * to.y - to.x * from.y
      sum[0] += (from.x + to.x) * cross
      sum[1] += (from.y + to.y) * cross
    end
    Point.new(*sums.map { |sum| sum / factor })
  end

  # Checks by counting crossed sides whether a point lies inside.
  def include?(point)
    crossings = each_side.count do |from, to|
      next false if (from.y > point.y) == (to.y > point.y)

      share = (point.y - from.y).fdiv(to.y - from.y)
      point.x < from.x + share * (to.x - from.x)
    end
    crossings.odd?
  end

  # Checks whether all corners bend in the same direction.
  def convex?
    bends = @corners.each_index.map do |index|
      Polygon.turn(@corners[index - 2], @corners[index - 1], @corners[index])
    end
    bends.all? { |bend| bend >= 0 } || bends.all? { |bend| bend <= 0 }
  end

  # Enlarges or shrinks the polygon around its centroid.
  def scale(factor)
    middle = centroid
    Polygon.new(@corners.map do |corner|
      Point.new(middle.x + (corner.x - middle.x) * factor, middle.y + (corner.y - middle.y) * factor)
    end)
  end

  # Drops corners that lie on a straight line between their neighbours.
  def simplify
    Polygon.new(@corners.reject.with_index do |corner, index|
      Polygon.turn(@corners[index - 1], corner, @corners[(index + 1) % @corners.size]).zero?
    end)
  end
end

# A circle with its relations to points and other circles.
Circle = Struct.new(:x, :y, :radius) do
  # Measures the distance between the centers of two circles.
  def center_distance(other)
    Math.hypot(other.x - x, other.y - y)
  end

  # Tells how two circles lie: apart, touching, crossing or one within the other.
  def relation(other)
    distance = center_distance(other)
    return :apart if distance > radius + other.radius
    return :touching if distance == radius + other.radius

    distance < (radius - other.radius).abs ? :nested : :crossing
  end

  # Approximates the circle by a regular polygon.
  def to_polygon(sides = 32)
    Polygon.regular(sides, radius: radius, center: self)
  end
end

if __FILE__ == $PROGRAM_NAME
  square = Polygon.new([[0, 0], [4, 0], [4, 4], [0, 4]])
  arrow = Polygon.new([[0, 0], [4, 0], [1, 1], [0, 4]])
  point = ->(x, y) { Polygon::Point.new(x, y) }
  raise "perimeter" unless square.perimeter == 16.0 && square.each_side.count == 4
  raise "area" unless square.area == 16.0 && Polygon.new(square.corners.reverse).signed_area == -16.0
  raise "centroid" unless square.centroid == point[2.0, 2.0]
  raise "inside" unless square.include?(point[1, 3]) && !square.include?(point[5, 3])
  raise "dent" unless arrow.include?(point[0.5, 0.5]) && !arrow.include?(point[2, 2])
  raise "convex" unless square.convex? && !arrow.convex?
  raise "scale" unless square.scale(0.5).area == 4.0
  raise "simplify" unless Polygon.new([[0, 0], [2, 0], [4, 0], [4, 4]]).simplify.corners.size == 3
  hull = Polygon.convex_hull([[0, 0], [4, 0], [1, 1], [4, 4], [0, 4], [2, 0]].map { |pair| point[*pair] })
  raise "hull" unless hull.corners.map(&:to_a) == [[0, 0], [4, 0], [4, 4], [0, 4]]
  circle = Circle.new(0, 0, 2)
  others = [Circle.new(5, 0, 1), Circle.new(3, 0, 1), Circle.new(2, 0, 1), Circle.new(0, 0, 1)]
  raise "relation" unless others.map { |other| circle.relation(other) } == %i[apart touching crossing nested]
  raise "approximate" unless (circle.to_polygon(400).area - Math::PI * 4).abs < 0.01
end

# frozen_string_literal: true

# Vectors and straight lines in the plane.
class Vector2
  include Comparable

  # Creates a vector from its length and its angle in radians.
  def self.polar(length, angle)
    new(length * Math.cos(angle), length * Math.sin(angle))
  end

  attr_reader :x, :y

  def initialize(x, y)
    @x = x
    @y = y
    freeze
  end

  # Adds two vectors coordinate by coordinate.
  def +(other)
    Vector2.new(x + other.x, y + other.y)
  end

  # Returns the vector that leads from the other point to this one.
  def -(other)
    Vector2.new(x - other.x, y - other.y)
  end

  # Stretches the vector by a factor.
  def *(other)
    Vector2.new(x * other, y * other)
  end

  # Reverses the direction of the vector.
  def -@
    Vector2.new(-x, -y)
  end

  # Computes the scalar product, which is zero for perpendicular vectors.
  def dot(other)
    x * other.x + y * other.y
  end

  # Computes the signed area of the parallelogram that both vectors span.
  def cross(other)
    x * other.y - y * other.x
  end

  # Returns the Euclidean length.
  def length
    Math.hypot(x, y)
  end

  # Orders vectors by their length.
  def <=>(other)
    length <=> other.length
  end

  # Checks whether both coordinates agree, apart from a small tolerance.
  def close_to?(other, tolerance: 1e-9)
    (x - other.x).abs <= tolerance && (y - other.y).abs <= tolerance
  end

  # Scales the vector to length one.
  #
  # Raises ZeroDivisionError for the zero vector, which has no direction.
  def normalize
    raise ZeroDivisionError, "zero vector has no direction" if length.zero?

    self * (1.0 / length)
  end

  # Turns the vector counterclockwise by an angle in radians.
  def rotate(angle)
    cos = Math.cos(angle)
    sin = Math.sin(angle)
    Vector2.new(x * cos - y * sin, x * sin + y * cos)
  end

  # Measures the angle between two vectors in radians, from 0 to pi.
  def angle_to(other)
    Math.atan2(cross(other).abs, dot(other))
  end

  # Projects the vector onto the direction of another one.
  def project_onto(axis)
    axis * (dot(axis).fdiv(axis.dot(axis)))
  end

  # Mirrors the vector at a surface with the given normal, like a ball that bounces off a wall.
  def reflect(normal)
    unit = normal.normalize
    self - unit * (2 * dot(unit))
  end

  # Mixes two vectors; a share of 0 gives the receiver and a share of 1 the other one.
  def lerp(other, share)
    self + (other - self) * share
  end

  # Supports parallel assignment and pattern matching by returning both coordinates.
  def to_ary = [x, y]
end

# A piece of a straight line between two points.
class Segment
  attr_reader :from, :to

  def initialize(from, to)
    @from = from
    @to = to
  end

  # Returns the point halfway between both ends.
  def midpoint
    from.lerp(to, 0.5)
  end

  # Finds the point of the segment that is nearest to the given one.
  def closest_point(point)
    direction = to - from
    return from if direction.length.zero?

    share = (point - from).dot(direction).fdiv(direction.dot(direction))
    from.lerp(to, share.clamp(0.0, 1.0))
  end

  # Measures how far a point is away from the segment.
  def distance_to(point)
    (point - closest_point(point)).length
  end

  # Computes where two segments cross, or nil if they do not meet or are parallel.
  def intersection(other)
    a = to - from
    b = other.to - other.from
    denominator = a.cross(b)
    return nil if denominator.zero?

    offset = other.from - from
    t = offset.cross(b).fdiv(denominator)
    u = offset.cross(a).fdiv(denominator)
    from + a * t if t.between?(0, 1) && u.between?(0, 1)
  end
end

if __FILE__ == $PROGRAM_NAME
  a = Vector2.new(3, 4)
  b = Vector2.new(1, 0)
  raise "length" unless a.length == 5.0 && (a - b).x == 2 && a > b
  raise "dot" unless a.dot(b) == 3 && b.cross(a) == 4
  raise "normalize" unless a.normalize.close_to?(Vector2.new(0.6, 0.8))
  raise "rotate" unless b.rotate(Math::PI / 2).close_to?(Vector2.new(0, 1))
  raise "angle" unless (b.angle_to(Vector2.new(0, -2)) - Math::PI / 2).abs < 1e-9
  raise "project" unless a.project_onto(b).close_to?(Vector2.new(3, 0))
  raise "reflect" unless Vector2.new(1, -1).reflect(Vector2.new(0, 2)).close_to?(Vector2.new(1, 1))
  raise "polar" unless Vector2.polar(2, Math::PI).close_to?(Vector2.new(-2, 0))
  x, y = -a
  raise "array" unless [x, y] == [-3, -4]
  segment = Segment.new(Vector2.new(0, 0), Vector2.new(4, 0))
  raise "midpoint" unless segment.midpoint.close_to?(Vector2.new(2, 0))
  raise "distance" unless segment.distance_to(Vector2.new(7, 4)) == 5.0
  cross = segment.intersection(Segment.new(Vector2.new(1, -1), Vector2.new(1, 3)))
  raise "cross" unless cross.close_to?(b)
  raise "parallel" unless segment.intersection(Segment.new(Vector2.new(0, 1), Vector2.new(4, 1))).nil?
end

# frozen_string_literal: true

# Descriptive statistics for lists of numbers.

module DemoStats
  # A sample of numbers with memoized figures.
  class Sample
    include Enumerable

    # Copies the numbers and raises ArgumentError if there are none.
    def initialize(numbers)
      raise ArgumentError, "a sample needs at least one number" if numbers.empty?

      @numbers = numbers.map(&:to_f).freeze
    end

    # Yields the numbers in their original order.
    def each(&block)
      return enum_for(:each) { @numbers.size } unless block

      @numbers.each(&block)
      self
    end

    # Returns how many numbers the sample holds.
    def size = @numbers.size

    # Computes the arithmetic mean.
    def mean
      @mean ||= @numbers.sum / size
    end

    # Computes the geometric mean, which is only defined for positive numbers.
    def geometric_mean
      raise ArgumentError, "all numbers must be positive" unless all?(&:positive?)

      Math.exp(sum { |number| Math.log(number) } / size)
    end

    # Averages the numbers after dropping the given share at both ends of the sorted list.
    def trimmed_mean(share)
      drop = (size * share).floor
      kept = sorted[drop...(size - drop)]
      kept.sum / kept.size
    end

    # Returns the middle of the sorted numbers.
    def median = percentile(50)

    # Interpolates the value below which the given percentage of the numbers lies.
    def percentile(percent)
      raise ArgumentError, "#{percent} is not between 0 and 100" unless (0..100).cover?(percent)

      position = (size - 1) * percent / 100.0
      lower = sorted[position.floor]
      upper = sorted[position.ceil]
      lower + ((upper - lower) * (position - position.floor))
    end

    # Lists the numbers that occur most often.
    def modes
      counts = tally
      most = counts.values.max
      counts.select { |_, count| count == most }.keys
    end

    # Computes the variance, by default the unbiased estimate for a sample.
    def variance(population: false)
      divisor = population ? size : size - 1
      return 0.0 if divisor.zero?

      sum { |number| (number - mean)**2 } / divisor
    end

    # Takes the square root of the variance.
    def standard_deviation(**options)
      Math.sqrt(variance(**options))
    end

    # Finds numbers that lie far outside the middle half of the sample.
    #
    # A number is far outside if its distance from the nearer quartile exceeds the distance
    # of the quartiles times the factor.
    def outliers(factor: 1.5)
      low = percentile(25)
      high = percentile(75)
      margin = (high - low) * factor
      reject { |number| number.between?(low - margin, high + margin) }
    end

    # Expresses each number as its distance from the mean in standard deviations.
    def z_scores
      deviation = standard_deviation
      map { |number| deviation.zero? ? 0.0 : (number - mean) / deviation }
    end

    # Counts the numbers in bins of equal width and returns the lower bounds with their counts.
    def histogram(bins)
      low, high = minmax
      width = (high - low) / bins
      counts = Array.new(bins, 0)
      each do |number|
        index = width.zero? ? 0 : ((number - low) / width).floor
        counts[[index, bins - 1].min] += 1
      end
      counts.each_with_index.to_h { |count, index| [low + (index * width), count] }
    end

    # Smooths the series by averaging each window of consecutive numbers.
    def moving_average(window)
      each_cons(window).map { |part| part.sum / window }
    end

    # Sums up the most important figures, rounded to two decimals.
    def summary
      { size: size, mean: mean, median: median, min: min, max: max, deviation: standard_deviation }
        .transform_values { |value| value.is_a?(Float) ? value.round(2) : value }
    end

    private

    # Returns the numbers in ascending order, sorted only once.
    def sorted = (@sorted ||= @numbers.sort)
  end

  module_function

  # Measures the linear relation between two series on a scale from -1 to 1.
  def correlation(xs, ys)
    slope_parts(xs, ys).then { |xy, xx, yy| xy / Math.sqrt(xx * yy) }
  end

  # Fits a straight line through the points and returns its slope and its intercept.
  def linear_fit(xs, ys)
    xy, xx, = slope_parts(xs, ys)
    slope = xy / xx
    [slope, (ys.sum - (slope * xs.sum)) / xs.size.to_f]
  end

  # Sums the products of the deviations from the means, as needed by correlation and line fit.
  def slope_parts(xs, ys)
    raise ArgumentError, "series differ in length: #{xs.size} and #{ys.size}" unless xs.size == ys.size

    mean_x = xs.sum.fdiv(xs.size)
    mean_y = ys.sum.fdiv(ys.size)
    pairs = xs.zip(ys).map { |x, y| [x - mean_x, y - mean_y] }
    [pairs.sum { |x, y| x * y }, pairs.sum { |x, _| x * x }, pairs.sum { |_, y| y * y }]
  end
end

if __FILE__ == $PROGRAM_NAME
  sample = DemoStats::Sample.new([2, 4, 4, 4, 5, 5, 7, 9])
  raise "mean" unless sample.mean == 5.0 && sample.median == 4.5
  raise "variance" unless sample.standard_deviation(population: true) == 2.0
  raise "modes" unless sample.modes == [4.0]
  raise "trimmed" unless sample.trimmed_mean(0.25) == 4.5
  raise "geometric" unless (DemoStats::Sample.new([1, 4, 16]).geometric_mean - 4).abs < 1e-9
  raise "percentile" unless DemoStats::Sample.new([1, 2, 3, 4]).percentile(25) == 1.75
  raise "outliers" unless DemoStats::Sample.new([1, 2, 3, 2, 1, 90]).outliers == [90.0]
  raise "z" unless DemoStats::Sample.new([3, 3]).z_scores == [0.0, 0.0]
  raise "histogram" unless DemoStats::Sample.new([0, 1, 2, 3, 4]).histogram(2) == { 0.0 => 2, 2.0 => 3 }
  raise "moving" unless DemoStats::Sample.new([1, 2, 3, 4]).moving_average(2) == [1.5, 2.5, 3.5]
  raise "summary" unless sample.summary[:deviation] == 2.14
  raise "fit" unless DemoStats.linear_fit([1, 2, 3], [3, 5, 7]) == [2.0, 1.0]
  raise "correlation" unless DemoStats.correlation([1, 2, 3], [6, 4, 2]) == -1.0
  begin
    DemoStats.correlation([1], [1, 2])
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message == "series differ in length: 1 and 2"
  end
end

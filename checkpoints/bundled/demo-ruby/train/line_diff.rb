# frozen_string_literal: true

# Compares two texts line by line and can replay the difference as a patch.
class LineDiff
  # Raised when a patch does not fit the text it is applied to.
  class PatchError < StandardError; end

  Change = Struct.new(:kind, :line) do
    # Formats the change with the usual sign in front of the line.
    def to_s
      sign = { keep: " ", delete: "-", insert: "+" }.fetch(kind)
      "#{sign}#{line}"
    end
  end

  attr_reader :changes

  def initialize(old_text, new_text)
    @old = old_text.lines(chomp: true)
    @new = new_text.lines(chomp: true)
    @changes = compute
  end

  # Checks whether both texts consist of the same lines.
  def same?
    @changes.all? { |change| change.kind == :keep }
  end

  # Returns how many lines were inserted and how many were deleted.
  def stat
    counts = @changes.map(&:kind).tally
    { insertions: counts.fetch(:insert, 0), deletions: counts.fetch(:delete, 0) }
  end

  # Writes the whole comparison with a sign in front of every line.
  def to_s
    @changes.map(&:to_s).join("\n")
  end

  # Groups the changes into hunks, each with up to +context+ unchanged lines around it.
  def hunks(context: 2)
    near = @changes.each_index.select do |index|
      window = @changes[[index - context, 0].max..index + context]
      window.any? { |change| change.kind != :keep }
    end
    near.slice_when { |a, b| b != a + 1 }.map { |indexes| @changes.values_at(*indexes) }
  end

  # Applies the recorded changes to a text that equals the old one.
  #
  # Raises PatchError at the first line that is not what the diff expects.
  def patch(text)
    lines = text.lines(chomp: true)
    @changes.each_with_object([]) do |change, result|
      unless change.kind == :insert
        actual = lines.shift
        raise PatchError, "expected #{change.line.inspect}, got #{actual.inspect}" if actual != change.line
      end
      result << change.line unless change.kind == :delete
    end.join("\n")
  end

  # Returns the share of old and new lines that both texts have in common.
  def ratio
    total = @old.size + @new.size
    return 1.0 if total.zero?

    2.0 * @changes.count { |change| change.kind == :keep } / total
  end

  private

  # Walks through the table of common lengths and lists the changes from top to bottom.
  def compute
    table = common_lengths
    changes = []
    row = column = 0
    while row < @old.size || column < @new.size
      if row < @old.size && column < @new.size && @old[row] == @new[column]
        changes << Change.new(:keep, @old[row])
        row += 1
        column += 1
      elsif column == @new.size || (row < @old.size && table[row + 1][column] >= table[row][column + 1])
        changes << Change.new(:delete, @old[row])
        row += 1
      else
        changes << Change.new(:insert, @new[column])
        column += 1
      end
    end
    changes
  end

  # Fills a table with the length of the longest common subsequence of all pairs of line suffixes.
  def common_lengths
    table = Array.new(@old.size + 1) { Array.new(@new.size + 1, 0) }
    (@old.size - 1).downto(0) do |row|
      (@new.size - 1).downto(0) do |column|
        table[row][column] =
          if @old[row] == @new[column]
            table[row + 1][column + 1] + 1
          else
            [table[row + 1][column], table[row][column + 1]].max
          end
      end
    end
    table
  end
end

# Marks the words that differ between two sentences.
module WordDiff
  # Wraps deleted words in [-...-] and new words in {+...+} and leaves common words as they are.
  def self.mark(old_text, new_text)
    diff = LineDiff.new(old_text.split.join("\n"), new_text.split.join("\n"))
    diff.changes.map do |change|
      case change.kind
      when :delete then "[-#{change.line}-]"
      when :insert then "{+#{change.line}+}"
      else change.line
      end
    end.join(" ")
  end
end

if __FILE__ == $PROGRAM_NAME
  before = "a\nb\nc\nd\ne\nf\ng"
  after = "a\nb\nX\nd\ne\nf\ng\nh"
  diff = LineDiff.new(before, after)
  raise "text" unless diff.to_s == " a\n b\n-c\n+X\n d\n e\n f\n g\n+h"
  raise "stat" unless diff.stat == { insertions: 2, deletions: 1 }
  raise "patch" unless diff.patch(before) == after
  raise "hunks" unless diff.hunks(context: 1).map(&:size) == [4, 2]
  raise "same" unless LineDiff.new("x", "x").same? && !diff.same?
  raise "ratio" unless diff.ratio == 0.8 && LineDiff.new("", "").ratio == 1.0
  raise "words" unless WordDiff.mark("a big dog", "a dog ran") == "a [-big-] dog {+ran+}"
  begin
    diff.patch("other")
    raise "must not patch"
  rescue LineDiff::PatchError
    nil
  end
end

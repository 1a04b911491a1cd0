# frozen_string_literal: true

# Measures of how similar two strings are, and a spelling helper that uses them.
module EditDistance
  module_function

  # Computes the Levenshtein distance: the least number of single letters to insert, delete or replace.
  def levenshtein(source, target)
    previous = (0..target.length).to_a
    source.each_char.with_index(1) do |letter, row|
      current = [row]
      target.each_char.with_index(1) do |other, column|
        cost = letter == other ? 0 : 1
        current << [previous[column] + 1, current[column - 1] + 1, previous[column - 1] + cost].min
      end
      previous = current
    end
    previous.last
  end

  # Counts the positions at which two strings of equal length differ.
  #
  # Raises ArgumentError when the lengths are not the same.
  def hamming(left, right)
    raise ArgumentError, "strings differ in length" unless left.length == right.length

    left.each_char.zip(right.each_char).count { |a, b| a != b }
  end

  # Scales the edit distance to a similarity between 0.0 (nothing in common) and 1.0 (equal).
  def similarity(left, right)
    longest = [left.length, right.length].max
    return 1.0 if longest.zero?

    1.0 - levenshtein(left, right).fdiv(longest)
  end

  # Returns the length of the longest subsequence that both strings contain.
  def common_subsequence_length(left, right)
    lengths = Array.new(right.length + 1, 0)
    left.each_char do |a|
      diagonal = 0
      right.each_char.with_index(1) do |b, column|
        above = lengths[column]
        lengths[column] = a == b ? diagonal + 1 : [above, lengths[column - 1]].max
        diagonal = above
      end
    end
    lengths.last
  end

  # Finds the beginning that all of the given strings share.
  def common_prefix(strings)
    shortest, longest = strings.minmax
    return "" if shortest.nil?

    index = (0...shortest.length).find { |i| shortest[i] != longest[i] } || shortest.length
    shortest[0, index]
  end

  # Cuts a string into overlapping pieces of +size+ characters.
  def ngrams(text, size = 2)
    (0..text.length - size).map { |start| text[start, size] }
  end

  # Compares two strings by the letter pairs they have in common (the Dice coefficient).
  def dice(left, right)
    a = ngrams(left.downcase).tally
    b = ngrams(right.downcase).tally
    total = a.values.sum + b.values.sum
    return left == right ? 1.0 : 0.0 if total.zero?

    shared = a.sum { |pair, count| [count, b.fetch(pair, 0)].min }
    2.0 * shared / total
  end
end

# Suggests words from a dictionary for a misspelled one.
class Speller
  def initialize(dictionary, max_distance: 2)
    @dictionary = dictionary.to_a.uniq
    @max_distance = max_distance
  end

  # Lists known words within the allowed distance, the closest ones first.
  def suggestions(word)
    scored = @dictionary.filter_map do |candidate|
      next if (candidate.length - word.length).abs > @max_distance

      distance = EditDistance.levenshtein(word, candidate)
      [distance, candidate] if distance <= @max_distance
    end
    scored.sort.map(&:last)
  end

  # Returns the word itself if it is known, otherwise the best suggestion or nil.
  def correct(word)
    @dictionary.include?(word) ? word : suggestions(word).first
  end

  # Formats a hint for an error message, such as "Did you mean `start`?".
  def hint(word)
    best = suggestions(word).first(2)
    return "" if best.empty?

    "Did you mean #{best.map { |name| "`#{name}`" }.join(" or ")}?"
  end
end

if __FILE__ == $PROGRAM_NAME
  e = EditDistance
  raise "levenshtein" unless e.levenshtein("kitten", "sitting") == 3 && e.levenshtein("", "abc") == 3
  raise "hamming" unless e.hamming("karolin", "kathrin") == 3
  raise "similarity" unless e.similarity("abcd", "abcx") == 0.75 && e.similarity("", "") == 1.0
  raise "lcs" unless e.common_subsequence_length("AGGTAB", "GXTXAYB") == 4
  raise "prefix" unless e.common_prefix(%w[flower flow flight]) == "fl" && e.common_prefix([]) == ""
  raise "ngrams" unless e.ngrams("abcd", 3) == %w[abc bcd] && e.ngrams("a") == []
  raise "dice" unless e.dice("night", "nacht") == 0.25 && e.dice("a", "a") == 1.0
  speller = Speller.new(%w[start stop status restart])
  raise "suggest" unless speller.suggestions("stat") == %w[start status stop]
  raise "correct" unless speller.correct("stp") == "stop" && speller.correct("zzzzzz").nil?
  raise "hint" unless speller.hint("restrt") == "Did you mean `restart`?" && speller.hint("") == ""
end

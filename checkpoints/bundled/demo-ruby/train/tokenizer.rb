# frozen_string_literal: true

require "strscan"

# Splits prose into tokens, words and sentences and keeps track of their positions.
class Tokenizer
  include Enumerable

  Token = Struct.new(:kind, :text, :offset) do
    # Returns the offset of the first character behind the token.
    def finish
      offset + text.length
    end

    # Checks whether the token carries meaning, which blanks and punctuation do not.
    def content?
      %i[word number email].include?(kind)
    end
  end

  RULES = {
    email: /[\w.+-]+@[\w-]+(\.[\w-]+)+/,
    number: /\d+([.,]\d+)*/,
    word: /\p{L}+(['-]\p{L}+)*/,
    space: /\s+/,
    mark: /./
  }.freeze

  ABBREVIATIONS = %w[mr mrs dr st e.g i.e etc].freeze

  def initialize(text)
    @text = text
  end

  # Scans the text from left to right and yields one token after the other.
  def each
    return enum_for(:each) unless block_given?

    scanner = StringScanner.new(@text)
    until scanner.eos?
      offset = scanner.charpos
      kind, = RULES.find { |_kind, pattern| scanner.scan(pattern) }
      yield Token.new(kind, scanner.matched, offset)
    end
  end

  # Returns the tokens without those that consist of white space.
  def tokens
    reject { |token| token.kind == :space }
  end

  # Lists all words in lower case.
  def words
    select { |token| token.kind == :word }.map { |token| token.text.downcase }
  end

  # Counts how often each word occurs, leaving out the given stop words.
  def word_counts(stop_words: [])
    words.tally.reject { |word, _count| stop_words.include?(word) }
  end

  # Returns the token that covers a character offset, or nil beyond the end of the text.
  def token_at(offset)
    find { |token| (token.offset...token.finish).cover?(offset) }
  end

  # Cuts the text into sentences at full stops, question marks and exclamation marks.
  #
  # A full stop behind a known abbreviation does not end a sentence.
  def sentences
    pieces = @text.split(/(?<=[.!?])\s+/)
    pieces.each_with_object([]) do |piece, sentences|
      if sentences.any? && abbreviation?(sentences.last)
        sentences.last << " " << piece
      else
        sentences << piece.dup
      end
    end
  end

  # Estimates the reading time in minutes, rounded up.
  def reading_minutes(words_per_minute: 200)
    (words.size.to_f / words_per_minute).ceil
  end

  # Builds a short excerpt around the first occurrence of a word, or nil if it does not occur.
  def excerpt(word, radius: 20)
    hit = find { |token| token.text.casecmp?(word) }
    return nil unless hit

    from = [hit.offset - radius, 0].max
    to = [hit.finish + radius, @text.length].min
    left = from.zero? ? "" : "..."
    right = to == @text.length ? "" : "..."
    "#{left}#{@text[from...to].strip}#{right}"
  end

  # Replaces every word by the result of the block and leaves all the rest as it was.
  def map_words
    map { |token| token.kind == :word ? yield(token.text) : token.text }.join
  end

  private

  # Checks whether a piece of text ends with an abbreviation like "Dr.".
  def abbreviation?(piece)
    ABBREVIATIONS.include?(piece[/\S+\z/].downcase.delete_suffix("."))
  end
end

if __FILE__ == $PROGRAM_NAME
  text = "Dr. Who can't wait. Mail who@tardis.example, 1,000 times! Really?"
  tokenizer = Tokenizer.new(text)
  raise "round trip" unless tokenizer.map(&:text).join == text
  raise "words" unless tokenizer.words == %w[dr who can't wait mail times really]
  raise "kinds" unless tokenizer.tokens.map(&:kind).tally == { word: 7, mark: 5, email: 1, number: 1 }
  raise "sentences" unless tokenizer.sentences.size == 3
  raise "at" unless tokenizer.token_at(5).text == "Who" && tokenizer.token_at(999).nil?
  raise "counts" unless Tokenizer.new("a b A").word_counts(stop_words: %w[b]) == { "a" => 2 }
  raise "minutes" unless tokenizer.reading_minutes(words_per_minute: 3) == 3
  raise "excerpt" unless tokenizer.excerpt("mail", radius: 6) == "...wait. Mail who@t..." && tokenizer.excerpt("x").nil?
  raise "map" unless Tokenizer.new("hi, you").map_words(&:capitalize) == "Hi, You"
  raise "content" unless tokenizer.count(&:content?) == 9
end

# frozen_string_literal: true

# Conversion between naming styles, slugs and short codes.
module CaseConverter
  class << self
    # Splits an identifier of any style into its lower-case words.
    #
    #   CaseConverter.words("parseHTTPHeader") # => ["parse", "http", "header"]
    def words(name)
      name.gsub(/([A-Z]+)([A-Z][a-z])/, '\1 \2')
          .gsub(/([a-z\d])([A-Z])/, '\1 \2')
          .split(/[^A-Za-z\d]+/)
          .reject(&:empty?)
          .map(&:downcase)
    end

    # Joins the words of a name with underscores.
    def snake_case(name)
      words(name).join("_")
    end

    # Joins the words of a name with dashes, as used in CSS and in command-line options.
    def kebab_case(name)
      words(name).join("-")
    end

    # Capitalizes every word and writes them together, like the name of a Ruby class.
    def pascal_case(name)
      words(name).map(&:capitalize).join
    end

    # Writes the first word in lower case and capitalizes all that follow it.
    def camel_case(name)
      head, *tail = words(name)
      [head, *tail.map(&:capitalize)].join
    end

    # Turns a name into upper-case words with underscores, ready for use as a constant.
    def constant_case(name)
      snake_case(name).upcase
    end

    # Makes an identifier readable for people: words with blanks between them and a capital at the start.
    def humanize(name)
      words(name.delete_suffix("_id")).join(" ").capitalize
    end

    # Capitalizes the important words of a title but leaves short ones like "of" small.
    def title_case(text)
      small = %w[a an and at by for in of on or the to with]
      text.split.each_with_index.map do |word, index|
        index.positive? && small.include?(word.downcase) ? word.downcase : word.capitalize
      end.join(" ")
    end

    # Guesses the naming style of an identifier from its letters and separators.
    def detect(name)
      case name
      when /\A[a-z\d]+(_[a-z\d]+)+\z/ then :snake
      when /\A[a-z\d]+(-[a-z\d]+)+\z/ then :kebab
      when /\A[A-Z\d]+(_[A-Z\d]+)+\z/ then :constant
      when /\A[A-Z][A-Za-z\d]*\z/ then :pascal
      when /\A[a-z]+[A-Z][A-Za-z\d]*\z/ then :camel
      else :unknown
      end
    end

    # Renames all string and symbol keys of a nested structure with the block.
    def transform_keys(data, &rename)
      case data
      when Hash
        data.to_h do |key, value|
          renamed = rename.call(key.to_s)
          [key.is_a?(Symbol) ? renamed.to_sym : renamed, transform_keys(value, &rename)]
        end
      when Array then data.map { |item| transform_keys(item, &rename) }
      else data
      end
    end
  end
end

# Builds short texts that are safe inside of a URL.
class Slugger
  REPLACEMENTS = { "&" => " and ", "@" => " at ", "%" => " percent ", "ß" => "ss" }.freeze

  def initialize(max_length: 60, separator: "-")
    @max_length = max_length
    @separator = separator
    @taken = {}
  end

  # Converts a title into lower-case ASCII words that are joined by the separator.
  def slug(title)
    plain = title.gsub(/[&@%ß]/, REPLACEMENTS)
    plain = plain.unicode_normalize(:nfkd).gsub(/\p{Mn}/, "").downcase
    shorten(plain.scan(/[a-z0-9]+/))
  end

  # Returns a slug that this instance has not given out before, by adding a number when needed.
  def unique_slug(title)
    base = slug(title)
    candidate = base
    number = 1
    candidate = [base, number += 1].join(@separator) while @taken.key?(candidate)
    @taken[candidate] = true
    candidate
  end

  # Checks whether a string already is a well-formed slug.
  def valid?(text)
    text.length <= @max_length && text.match?(/\A[a-z0-9]+(#{Regexp.escape(@separator)}[a-z0-9]+)*\z/)
  end

  private

  # Joins as many whole words as fit into the maximum length.
  def shorten(words)
    words.reduce("") do |result, word|
      longer = result.empty? ? word[0, @max_length] : result + @separator + word
      break result if longer.length > @max_length

      longer
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  c = CaseConverter
  raise "words" unless c.words("parseHTTPHeader") == %w[parse http header]
  raise "snake" unless c.snake_case("UserAccount2Go") == "user_account2_go"
  raise "kebab" unless c.kebab_case("font_size") == "font-size"
  raise "pascal" unless c.pascal_case("ring-buffer") == "RingBuffer"
  raise "camel" unless c.camel_case("first_name") == "firstName" && c.camel_case("") == ""
  raise "constant" unless c.constant_case("maxRetries") == "MAX_RETRIES"
  raise "humanize" unless c.humanize("parent_account_id") == "Parent account"
  raise "title" unless c.title_case("the lord OF the rings") == "The Lord of the Rings"
  raise "detect" unless %w[a_b a-b A_B Ab aB a].map { |s| c.detect(s) } == %i[snake kebab constant pascal camel unknown]
  keys = c.transform_keys({ fooBar: [{ "bazQux" => 1 }] }) { |key| c.snake_case(key) }
  raise "keys" unless keys == { foo_bar: [{ "baz_qux" => 1 }] }
  slugger = Slugger.new(max_length: 20)
  raise "slug" unless slugger.slug("Crème & Brûlée!") == "creme-and-brulee"
  raise "short" unless slugger.slug("one two three four five six") == "one-two-three-four"
  raise "unique" unless Array.new(3) { slugger.unique_slug("Hi there") } == %w[hi-there hi-there-2 hi-there-3]
  raise "valid" unless slugger.valid?("a-b") && !slugger.valid?("a--b")
end

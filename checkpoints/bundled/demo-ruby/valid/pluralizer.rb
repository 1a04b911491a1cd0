# frozen_string_literal: true

# Inflects English words: plurals, ordinals, lists and counted nouns.
class Pluralizer
  IRREGULAR = {
    "child" => "children", "person" => "people", "man" => "men",
    "mouse" => "mice", "foot" => "feet", "ox" => "oxen"
  }.freeze

  UNCOUNTABLE = %w[sheep fish news rice information].freeze

  PLURAL_RULES = [
    [/(s|x|z|ch|sh)\z/, '\1es'],
    [/([^aeiou])y\z/, '\1ies'],
    [/([lr])f\z/, '\1ves'],
    [/\z/, "s"]
  ].freeze

  SINGULAR_RULES = [
    [/(ss|x|z|ch|sh)es\z/, '\1'],
    [/([^aeiou])ies\z/, '\1y'],
    [/([lr])ves\z/, '\1f'],
    [/([^s])s\z/, '\1']
  ].freeze

  def initialize(irregular: {})
    @irregular = IRREGULAR.merge(irregular)
  end

  # Returns the plural of a noun and keeps its capital letters.
  def plural(noun)
    return noun if uncountable?(noun)

    word = @irregular[noun.downcase] || first_match(noun, PLURAL_RULES)
    match_case(noun, word)
  end

  # Returns the singular of a noun; words that are singular already come back unchanged.
  def singular(noun)
    return noun if uncountable?(noun)

    word = @irregular.key(noun.downcase) || first_match(noun, SINGULAR_RULES)
    match_case(noun, word)
  end

  # Checks whether a noun has no plural of its own.
  def uncountable?(noun)
    UNCOUNTABLE.include?(noun.downcase)
  end

  # Writes a number in front of a noun, which is put into the plural unless the number is one.
  def count(number, noun)
    "#{number} #{number == 1 ? noun : plural(noun)}"
  end

  # Teaches the instance a pair of words that follows no rule.
  def learn(singular, plural)
    @irregular[singular.downcase] = plural.downcase
    self
  end

  # Chooses "a" or "an" by the first letter and puts it in front of the noun.
  def with_article(noun)
    "#{noun.match?(/\A[aeio]|\Au(?!ni)/i) ? "an" : "a"} #{noun}"
  end

  private

  # Applies the first rule whose pattern fits and returns the word as it is if none does.
  def first_match(word, rules)
    pattern, replacement = rules.find { |candidate, _replacement| word.match?(candidate) }
    pattern ? word.sub(pattern, replacement) : word
  end

  # Gives the second word the capitalization of the first one.
  def match_case(model, word)
    return word.upcase if model.length > 1 && model == model.upcase

    model.match?(/\A[[:upper:]]/) ? word[0].upcase + word[1..] : word
  end
end

# Spells out numbers and lists.
module Wording
  UNITS = %w[zero one two three four five six seven eight nine ten eleven twelve thirteen
             fourteen fifteen sixteen seventeen eighteen nineteen].freeze
  TENS = %w[_ _ twenty thirty forty fifty sixty seventy eighty ninety].freeze

  module_function

  # Appends the right ending to a number: 1st, 2nd, 3rd, 4th and so on.
  def ordinal(number)
    return "#{number}th" if (11..13).cover?(number.abs % 100)

    ending = { 1 => "st", 2 => "nd", 3 => "rd" }.fetch(number.abs % 10, "th")
    "#{number}#{ending}"
  end

  # Joins the items with commas and puts a word such as "and" before the last one.
  def list(items, conjunction: "and")
    *head, last = items.map(&:to_s)
    case head.size
    when 0 then last.to_s
    when 1 then "#{head.first} #{conjunction} #{last}"
    else "#{head.join(", ")}, #{conjunction} #{last}"
    end
  end

  # Spells out a whole number below one million in words.
  def spell(number)
    case number
    when 0..19 then UNITS[number]
    when 20..99
      tens, units = number.divmod(10)
      units.zero? ? TENS[tens] : "#{TENS[tens]}-#{UNITS[units]}"
    when 100..999 then spell_group(number, 100, "hundred")
    when 1000..999_999 then spell_group(number, 1000, "thousand")
    else raise RangeError, "cannot spell #{number}"
    end
  end

  # Spells the part above a power of ten, its name and whatever is left below it.
  def spell_group(number, size, name)
    count, rest = number.divmod(size)
    words = "#{spell(count)} #{name}"
    rest.zero? ? words : "#{words} #{spell(rest)}"
  end
end

if __FILE__ == $PROGRAM_NAME
  words = Pluralizer.new
  raise "plural" unless %w[box city wolf day dish].map { |w| words.plural(w) } == %w[boxes cities wolves days dishes]
  singulars = %w[boxes cities wolves days glass].map { |word| words.singular(word) }
  raise "singular" unless singulars == %w[box city wolf day glass]
  raise "irregular" unless words.plural("Child") == "Children" && words.singular("PEOPLE") == "PERSON"
  raise "uncountable" unless words.plural("sheep") == "sheep" && !words.uncountable?("cow")
  raise "count" unless words.count(1, "file") == "1 file" && words.count(3, "entry") == "3 entries"
  raise "learn" unless words.learn("cactus", "cacti").plural("cactus") == "cacti"
  raise "article" unless %w[apple unicorn umbrella].map { |w| words.with_article(w)[/\A\w+/] } == %w[an a an]
  raise "ordinal" unless [1, 2, 3, 4, 11, 112, 23].map { |n| Wording.ordinal(n) } == %w[1st 2nd 3rd 4th 11th 112th 23rd]
  raise "list" unless Wording.list(%w[a b c]) == "a, b, and c" && Wording.list([1, 2], conjunction: "or") == "1 or 2"
  raise "spell" unless Wording.spell(42_317) == "forty-two thousand three hundred seventeen"
end

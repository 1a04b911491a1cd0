# frozen_string_literal: true

# Playing cards: a deck, hands for poker, and the points of blackjack.

module DemoCards
  # One card of a deck with 52 cards.
  class Card
    include Comparable

    RANKS = %w[2 3 4 5 6 7 8 9 T J Q K A].freeze
    SUITS = %w[c d h s].freeze

    attr_reader :rank, :suit

    # Reads a card from two characters, rank and suit, for example "Th" for the ten of hearts.
    def self.parse(text)
      rank, suit = text.chars
      unless text.length == 2 && RANKS.include?(rank) && SUITS.include?(suit)
        raise ArgumentError, "#{text.inspect} is not a card"
      end

      new(rank, suit)
    end

    # Stores rank and suit.
    def initialize(rank, suit)
      @rank = rank
      @suit = suit
    end

    # Returns the strength of the card, from two for the lowest up to fourteen for the ace.
    def value = RANKS.index(rank) + 2

    # Compares cards by strength only.
    def <=>(other) = value <=> other.value

    # Tells whether the card is a jack, a queen or a king.
    def face?
      %w[J Q K].include?(rank)
    end

    # Shows the card in the form that parse understands.
    def to_s = "#{rank}#{suit}"
  end

  # A pile of cards.
  class Deck
    # Builds a full deck in order.
    def initialize
      @cards = Card::SUITS.product(Card::RANKS).map { |suit, rank| Card.new(rank, suit) }
    end

    # Mixes the cards with a random generator, which makes games repeatable.
    def shuffle!(random = Random.new)
      @cards.shuffle!(random: random)
      self
    end

    # Takes cards from the top and raises ArgumentError if there are too few.
    def draw(count = 1)
      raise ArgumentError, "only #{size} cards left, wanted #{count}" if count > size

      @cards.shift(count)
    end

    # Deals one card at a time to each player until all have the wanted number.
    def deal(players:, cards:)
      hands = Array.new(players) { [] }
      cards.times { hands.each { |hand| hand.concat(draw) } }
      hands
    end

    # Counts the cards that are left.
    def size = @cards.size

    # Cuts the deck, so that the cards below the position come to the top.
    def cut!(position)
      @cards.rotate!(position)
      self
    end
  end

  # Five cards, compared by the rules of poker.
  class PokerHand
    include Comparable

    CATEGORIES = %i[high_card pair two_pairs three_of_a_kind straight flush full_house
                    four_of_a_kind straight_flush].freeze

    # Parses five cards separated by spaces.
    def self.parse(text)
      new(text.split.map { |card| Card.parse(card) })
    end

    # Checks that there are five cards and sorts them by strength.
    def initialize(cards)
      raise ArgumentError, "a hand has five cards, got #{cards.size}" unless cards.size == 5

      @cards = cards.sort.reverse
    end

    # Names the best combination in the hand.
    def category
      return :straight_flush if straight? && flush?
      return :flush if flush?
      return :straight if straight?

      case groups.map(&:last)
      in [4, *] then :four_of_a_kind
      in [3, 2] then :full_house
      in [3, *] then :three_of_a_kind
      in [2, 2, *] then :two_pairs
      in [2, *] then :pair
      else :high_card
      end
    end

    # Compares two hands by their category first and then by the strength of their cards.
    def <=>(other)
      score <=> other.score
    end

    # Returns an array that orders hands: the rank of the category, followed by card values.
    def score
      values = wheel? ? [5, 4, 3, 2, 1] : groups.map(&:first)
      [CATEGORIES.index(category), values]
    end

    # Checks whether all cards have the same suit.
    def flush?
      @cards.map(&:suit).uniq.one?
    end

    # Checks whether the values follow each other without a gap; the ace may count as one.
    def straight?
      wheel? || @cards.map(&:value).each_cons(2).all? { |high, low| high == low + 1 }
    end

    private

    # Recognizes the straight from ace to five.
    def wheel? = @cards.map(&:value) == [14, 5, 4, 3, 2]

    # Groups equal values and sorts them by their number and then by value.
    def groups
      @groups ||= @cards.map(&:value).tally.sort_by { |value, count| [-count, -value] }
    end
  end

  # Computes the best sum of a blackjack hand, with aces as eleven or one.
  def self.blackjack_points(cards)
    aces = cards.count { |card| card.rank == "A" }
    total = cards.sum { |card| card.rank == "A" ? 11 : [card.value, 10].min }
    while total > 21 && aces.positive?
      total -= 10
      aces -= 1
    end
    total
  end
end

if __FILE__ == $PROGRAM_NAME
  hand = ->(text) { DemoCards::PokerHand.parse(text) }
  categories = ["2c 5d 9h Js Ac", "2c 2d 9h Js Ac", "2c 2d 9h 9s Ac", "2c 2d 2h Js Ac", "Ac 2d 3h 4s 5c",
                "2c 5c 9c Jc Ac", "2c 2d 2h As Ac", "2c 2d 2h 2s Ac", "9c Tc Jc Qc Kc"]
  raise "categories" unless categories.map { |text| hand.(text).category } == DemoCards::PokerHand::CATEGORIES
  raise "order" unless categories.map(&hand).each_cons(2).all? { |low, high| low < high }
  raise "kicker" unless hand.("2c 2d 9h Js Ac") > hand.("2h 2s 9c Jd Kc")
  raise "wheel" unless hand.("2c 3d 4h 5s 6c") > hand.("Ac 2d 3h 4s 5c")
  deck = DemoCards::Deck.new.shuffle!(Random.new(4))
  hands = deck.deal(players: 3, cards: 5)
  raise "deal" unless hands.map(&:size) == [5, 5, 5] && deck.size == 37 && hands.flatten.map(&:to_s).uniq.size == 15
  raise "cut" unless DemoCards::Deck.new.cut!(13).draw.first.to_s == "2d"
  cards = %w[As Kd Ah].map { |text| DemoCards::Card.parse(text) }
  raise "blackjack" unless DemoCards.blackjack_points(cards) == 12 && DemoCards.blackjack_points(cards[0, 2]) == 21
  raise "face" unless cards[1].face? && !cards[0].face?
  ["1c", "Tx", "10c"].each do |wrong|
    DemoCards::Card.parse(wrong)
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message == "#{wrong.inspect} is not a card"
  end
  begin
    deck.draw(40)
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message == "only 37 cards left, wanted 40"
  end
end

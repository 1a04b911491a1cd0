# frozen_string_literal: true

# A prefix tree for words, with completion and longest-match lookup.
class Trie
  include Enumerable

  Node = Struct.new(:children, :terminal, :payload) do
    # Creates a node without children that does not end a word.
    def self.blank
      new({}, false, nil)
    end

    # Checks whether the node neither ends a word nor leads to one.
    def useless?
      !terminal && children.empty?
    end
  end

  def initialize
    @root = Node.blank
    @size = 0
  end

  attr_reader :size

  # Inserts a word letter by letter and stores an optional payload at its last node.
  def insert(word, payload = nil)
    node = word.each_char.reduce(@root) do |current, letter|
      current.children[letter] ||= Node.blank
    end
    @size += 1 unless node.terminal
    node.terminal = true
    node.payload = payload
    self
  end

  # Reads the payload that was stored with a word, or nil when the word is missing.
  def [](word)
    node = descend(word)
    node.payload if node&.terminal
  end

  # Checks whether exactly this word was inserted; a mere prefix does not count.
  def word?(word)
    descend(word)&.terminal || false
  end

  # Checks whether at least one inserted word starts with the given text.
  def prefix?(text)
    !descend(text).nil?
  end

  # Collects all words that start with a prefix, up to an optional limit.
  def complete(prefix, limit: nil)
    start = descend(prefix)
    return [] unless start

    words = walk(start, prefix.dup)
    limit ? words.first(limit) : words.to_a
  end

  # Finds the longest inserted word that the given text begins with.
  #
  # Returns nil when no word matches at the start of the text.
  def longest_prefix_of(text)
    best = nil
    node = @root
    text.each_char.with_index do |letter, index|
      node = node.children[letter]
      break unless node

      best = text[0..index] if node.terminal
    end
    best
  end

  # Deletes a word and prunes the branches that no longer lead to any other word.
  def delete(word)
    return false unless word?(word)

    prune(@root, word.chars)
    @size -= 1
    true
  end

  # Yields all words in alphabetical order.
  def each(&block)
    return enum_for(:each) { @size } unless block

    walk(@root, "").each(&block)
    self
  end

  private

  # Follows the letters of the text from the root and returns the node where they end, if any.
  def descend(text)
    text.each_char.reduce(@root) do |node, letter|
      node.children[letter] || (return nil)
    end
  end

  # Enumerates the words below a node lazily, depth first and with sorted letters.
  def walk(node, prefix)
    Enumerator.new do |words|
      words << prefix if node.terminal
      node.children.sort.each do |letter, child|
        walk(child, prefix + letter).each { |word| words << word }
      end
    end
  end

  # Unmarks the end of the word recursively and drops every child that became useless.
  def prune(node, letters)
    if letters.empty?
      node.terminal = false
      return
    end

    head, *tail = letters
    child = node.children[head]
    prune(child, tail)
    node.children.delete(head) if child.useless?
  end
end

if __FILE__ == $PROGRAM_NAME
  trie = Trie.new
  %w[car card care cat dog].each_with_index { |word, index| trie.insert(word, index) }
  raise "payload" unless trie["care"] == 2 && trie["ca"].nil?
  raise "word" unless trie.word?("cat") && !trie.word?("ca") && trie.prefix?("ca")
  raise "complete" unless trie.complete("car") == %w[car card care]
  raise "limit" unless trie.complete("c", limit: 2) == %w[car card] && trie.complete("x") == []
  raise "longest" unless trie.longest_prefix_of("cards") == "card" && trie.longest_prefix_of("zoo").nil?
  raise "delete" unless trie.delete("card") && !trie.delete("card") && trie.word?("car")
  raise "each" unless trie.to_a == %w[car care cat dog] && trie.size == 4
end

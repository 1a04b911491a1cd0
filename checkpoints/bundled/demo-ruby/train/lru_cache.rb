# frozen_string_literal: true

# A cache that throws away the entry which was not used for the longest time.
class LruCache
  Stats = Struct.new(:hits, :misses) do
    # Returns the share of lookups that were answered from the cache.
    def hit_rate
      lookups = hits + misses
      lookups.zero? ? 0.0 : hits.fdiv(lookups)
    end
  end

  attr_reader :limit, :stats

  # Creates a cache for at most +limit+ entries; the block is called with each evicted key and value.
  def initialize(limit, &on_evict)
    raise ArgumentError, "limit must be at least 1" if limit < 1

    @limit = limit
    @on_evict = on_evict
    @entries = {}
    @stats = Stats.new(0, 0)
  end

  # Looks a key up and marks it as recently used.
  def get(key)
    unless @entries.key?(key)
      @stats.misses += 1
      return nil
    end

    @stats.hits += 1
    @entries[key] = @entries.delete(key)
  end
  alias [] get

  # Stores a value as the most recent entry and evicts the oldest one if the cache is over its limit.
  def put(key, value)
    @entries.delete(key)
    @entries[key] = value
    evict_oldest if @entries.size > @limit
    value
  end
  alias []= put

  # Returns the cached value, or computes it with the block, remembers it and returns it.
  #
  #   cache.fetch(:users) { database.count }
  def fetch(key)
    return get(key) if @entries.key?(key)

    @stats.misses += 1
    raise KeyError, "key not cached: #{key.inspect}" unless block_given?

    put(key, yield(key))
  end

  # Reads a value without counting the lookup and without refreshing its age.
  def peek(key)
    @entries[key]
  end

  # Lists the keys from the least to the most recently used.
  def keys
    @entries.keys
  end

  # Changes the limit and evicts as many old entries as needed to respect it.
  def limit=(new_limit)
    raise ArgumentError, "limit must be at least 1" if new_limit < 1

    @limit = new_limit
    evict_oldest while @entries.size > @limit
  end

  # Drops a single key and returns its value, or nil if it was not cached.
  def expire(key)
    @entries.delete(key)
  end

  # Removes all entries for which the block returns a true value and reports how many there were.
  def expire_if
    doomed = @entries.select { |key, value| yield key, value }
    doomed.each_key { |key| @entries.delete(key) }
    doomed.size
  end

  private

  # Removes the first entry of the hash, which is the oldest, and notifies the eviction callback.
  def evict_oldest
    key, value = @entries.shift
    @on_evict&.call(key, value)
  end
end

if __FILE__ == $PROGRAM_NAME
  evicted = []
  cache = LruCache.new(2) { |key, _value| evicted << key }
  cache[:a] = 1
  cache[:b] = 2
  raise "get" unless cache[:a] == 1
  cache[:c] = 3
  raise "evict" unless evicted == [:b] && cache.keys == %i[a c]
  raise "fetch" unless cache.fetch(:a) { 0 } == 1 && cache.fetch(:d) { |key| key.to_s } == "d"
  raise "stats" unless cache.stats.hit_rate > 0.6 && cache[:gone].nil?
  raise "peek" unless cache.peek(:a) == 1 && cache.keys == %i[a d]
  cache.limit = 1
  raise "limit" unless cache.keys == [:d] && evicted == %i[b c a]
  raise "expire" unless cache.expire(:d) == "d" && cache.expire(:d).nil?
  cache[:x] = 5
  raise "expire_if" unless cache.expire_if { |_key, value| value > 4 } == 1 && cache.keys.empty?
end

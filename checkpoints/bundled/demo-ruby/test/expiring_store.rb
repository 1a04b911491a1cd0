# frozen_string_literal: true

require "monitor"

# A key-value store whose entries expire, with tags, counters and safe access from threads.
class ExpiringStore
  Entry = Struct.new(:value, :expires_at, :tags) do
    # Checks whether the entry is out of date at the given time; entries without an expiry never are.
    def stale?(now)
      !expires_at.nil? && expires_at <= now
    end
  end

  attr_reader :default_ttl

  def initialize(default_ttl: nil, clock: -> { Time.now.to_f })
    @default_ttl = default_ttl
    @clock = clock
    @entries = {}
    @lock = Monitor.new
  end

  # Saves a value that lives for +ttl+ seconds and may carry tags for a common removal.
  def write(key, value, ttl: default_ttl, tags: [])
    @lock.synchronize do
      @entries[key] = Entry.new(value, ttl && @clock.call + ttl, tags)
    end
    value
  end

  # Returns the value of a key, or nil if it is missing or too old.
  def read(key)
    @lock.synchronize { live_entry(key)&.value }
  end

  # Returns the stored value or computes, stores and returns a new one, while other threads have to wait.
  def fetch(key, **options)
    @lock.synchronize do
      entry = live_entry(key)
      entry ? entry.value : write(key, yield, **options)
    end
  end

  # Checks whether there is a value for the key that has not expired.
  def exist?(key)
    @lock.synchronize { !live_entry(key).nil? }
  end

  # Adds to a number under a key, starting from zero, and keeps the expiry that was set at first.
  def increment(key, by: 1, ttl: default_ttl)
    @lock.synchronize do
      entry = live_entry(key)
      return write(key, by, ttl: ttl) unless entry

      entry.value += by
    end
  end

  # Tells how many seconds an entry will still live; nil means that it is missing or lives forever.
  def ttl(key)
    expires_at = @lock.synchronize { live_entry(key)&.expires_at }
    expires_at && expires_at - @clock.call
  end

  # Renews the lifetime of an entry and returns false if the entry is gone.
  def touch(key, ttl: default_ttl)
    @lock.synchronize do
      entry = live_entry(key)
      return false unless entry

      entry.expires_at = ttl && @clock.call + ttl
      true
    end
  end

  # Deletes all entries with a tag and returns their keys.
  def invalidate_tag(tag)
    delete_where { |entry| entry.tags.include?(tag) }
  end

  # Deletes all entries that have expired and returns their keys.
  def sweep
    now = @clock.call
    delete_where { |entry| entry.stale?(now) }
  end

  # Reads several keys at once and asks the block for the values that are missing.
  #
  #   store.fetch_many(ids) { |missing| load_users(missing) }
  #
  # The block gets an array of keys and has to return a hash.
  def fetch_many(keys, **options)
    missing = keys.reject { |key| exist?(key) }
    fresh = missing.empty? ? {} : yield(missing)
    fresh.each { |key, value| write(key, value, **options) }
    keys.to_h { |key| [key, fresh.fetch(key) { read(key) }] }
  end

  private

  # Looks an entry up and removes it on the way if it is stale.
  def live_entry(key)
    entry = @entries[key]
    return entry unless entry&.stale?(@clock.call)

    @entries.delete(key)
    nil
  end

  # Deletes the entries for which the block is true.
  def delete_where
    @lock.synchronize do
      keys = @entries.filter_map { |key, entry| key if yield entry }
      keys.each { |key| @entries.delete(key) }
    end
  end
end

# Limits how often something may happen within a sliding window of time.
class RateLimiter
  def initialize(limit, window, clock: -> { Time.now.to_f })
    @limit = limit
    @window = window
    @clock = clock
    @events = Hash.new { |events, key| events[key] = [] }
  end

  # Records an attempt and tells whether it is still within the limit.
  def allow?(key)
    return false if remaining(key).zero?

    @events[key] << @clock.call
    true
  end

  # Returns how many attempts are left at the moment.
  def remaining(key)
    threshold = @clock.call - @window
    @events[key].reject! { |time| time <= threshold }
    @limit - @events[key].size
  end

  # Computes the seconds to wait until the next attempt will be allowed.
  def retry_after(key)
    return 0 if remaining(key).positive?

    @events[key].first + @window - @clock.call
  end
end

if __FILE__ == $PROGRAM_NAME
  now = 0
  clock = -> { now }
  store = ExpiringStore.new(default_ttl: 10, clock: clock)
  store.write(:a, 1, tags: [:x])
  store.write(:b, 2, ttl: nil, tags: %i[x y])
  store.write(:c, 3, ttl: 5)
  raise "read" unless store.read(:a) == 1 && store.ttl(:a) == 10 && store.ttl(:b).nil?
  now = 6
  raise "expired" unless !store.exist?(:c) && store.read(:a) == 1
  raise "fetch" unless store.fetch(:a) { 9 } == 1 && store.fetch(:c, ttl: 1) { 9 } == 9
  raise "touch" unless store.touch(:a) && store.ttl(:a) == 10 && !store.touch(:zzz)
  now = 8
  raise "sweep" unless store.sweep == [:c]
  raise "tag" unless store.invalidate_tag(:x) == %i[a b] && store.read(:b).nil?
  raise "increment" unless [store.increment(:n), store.increment(:n, by: 4)] == [1, 5]
  asked = nil
  many = store.fetch_many(%i[n m]) { |missing| (asked = missing).to_h { |key| [key, 0] } }
  raise "many" unless many == { n: 5, m: 0 } && asked == [:m]
  limiter = RateLimiter.new(2, 60, clock: clock)
  raise "allow" unless [limiter.allow?(:ip), limiter.allow?(:ip), limiter.allow?(:ip)] == [true, true, false]
  now = 30
  raise "wait" unless limiter.retry_after(:ip) == 38 && limiter.retry_after(:other).zero?
  now = 68
  raise "again" unless limiter.allow?(:ip) && limiter.remaining(:ip) == 1
end

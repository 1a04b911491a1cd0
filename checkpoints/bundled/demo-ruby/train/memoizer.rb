# frozen_string_literal: true

# Remembers the results of methods and of expensive blocks.
module Memoizer
  # Wraps an instance method, so that each object computes the result once for every list of arguments.
  def memoize(name)
    original = instance_method(name)
    visibility = visibility_of(name)
    remove_method(name) if original.owner == self
    define_method(name) do |*args, **options|
      store = (@memoized ||= {})
      key = [name, args, options]
      store.fetch(key) { store[key] = original.bind_call(self, *args, **options) }
    end
    send(visibility, name)
    name
  end

  # Adds a method that forgets everything the object has remembered so far.
  def self.extended(base)
    base.define_method(:forget!) do
      @memoized&.clear
      self
    end
  end

  private

  # Finds out whether a method is public, protected or private.
  def visibility_of(name)
    return :private if private_method_defined?(name)

    protected_method_defined?(name) ? :protected : :public
  end
end

# A value that is computed at its first use and never again.
class Lazy
  def initialize(&compute)
    @compute = compute
    @mutex = Mutex.new
    @done = false
  end

  # Runs the block on the first call and returns its result on all others, even among threads.
  def value
    return @value if @done

    @mutex.synchronize do
      unless @done
        @value = @compute.call
        @done = true
        @compute = nil
      end
    end
    @value
  end

  # Checks whether the value is there already, without computing it.
  def ready? = @done

  # Chains a computation that is just as lazy.
  def then(&transform)
    Lazy.new { transform.call(value) }
  end
end

# A cache in front of a slower store, such as a file or a database.
class LayeredCache
  # Takes the layers from the fastest to the slowest; each one answers [] and []=.
  def initialize(*layers)
    @layers = layers
    @hits = Array.new(layers.size, 0)
  end

  # Asks one layer after the other and copies a found value into all faster ones.
  def read(key)
    @layers.each_with_index do |layer, level|
      value = layer[key]
      next if value.nil?

      @hits[level] += 1
      @layers.first(level).each { |faster| faster[key] = value }
      return value
    end
    nil
  end

  # Writes a value through all layers.
  def write(key, value)
    @layers.each { |layer| layer[key] = value }
    value
  end

  # Returns the value from the layers, or writes the result of the block through all of them.
  def fetch(key)
    read(key) || write(key, yield(key))
  end

  # Reports how many reads each layer has answered.
  def hits_by_level
    @hits.each_with_index.to_h { |count, level| [level, count] }
  end
end

# Collects writes and passes them on in batches.
class WriteBuffer
  def initialize(batch_size, &flush)
    @batch_size = batch_size
    @flush = flush
    @pending = {}
  end

  # Keeps a pair for later, where a newer value for the same key replaces the older one.
  def store(key, value)
    @pending[key] = value
    flush! if @pending.size >= @batch_size
    self
  end

  # Hands all pending pairs to the block and returns how many there were.
  def flush!
    batch = @pending
    @pending = {}
    @flush.call(batch) unless batch.empty?
    batch.size
  end

  # Yields the buffer and flushes what is left at the end, also when the block raises.
  def self.open(batch_size, sink)
    buffer = new(batch_size) { |batch| sink.concat(batch.to_a) }
    yield buffer
  ensure
    buffer&.flush!
  end
end

if __FILE__ == $PROGRAM_NAME
  calculator = Class.new do
    extend Memoizer
    attr_reader :calls

    def square(number, plus: 0)
      @calls = calls.to_i + 1
      number * number + plus
    end
    memoize :square

    def hidden = 1
    private :hidden
    memoize :hidden
  end.new
  raise "result" unless [calculator.square(3), calculator.square(3), calculator.square(3, plus: 1)] == [9, 9, 10]
  raise "calls" unless calculator.calls == 2
  raise "forget" unless calculator.forget!.square(3) == 9 && calculator.calls == 3
  raise "private" if calculator.respond_to?(:hidden)
  runs = 0
  lazy = Lazy.new { runs += 1 }
  later = lazy.then { |number| number + 10 }
  raise "lazy" unless !lazy.ready? && later.value == 11 && lazy.value == 1 && runs == 1
  fast = {}
  slow = { a: 1 }
  layers = LayeredCache.new(fast, slow)
  raise "layers" unless layers.read(:a) == 1 && fast == { a: 1 } && layers.read(:zzz).nil?
  raise "fetch" unless layers.fetch(:b) { |key| key.to_s } == "b" && slow[:b] == "b"
  layers.read(:a)
  raise "hits" unless layers.hits_by_level == { 0 => 1, 1 => 1 }
  sink = []
  WriteBuffer.open(2, sink) do |buffer|
    buffer.store(:x, 1).store(:x, 2)
    raise "early" unless sink.empty?

    buffer.store(:y, 3).store(:z, 4)
  end
  raise "batches" unless sink == [[:x, 2], [:y, 3], [:z, 4]]
end

# frozen_string_literal: true

# A structured logger with levels, context, formatters and several outputs.

require "stringio"
require "time"

module DemoLogging
  LEVELS = { debug: 0, info: 1, warn: 2, error: 3 }.freeze

  Entry = Struct.new(:time, :level, :message, :fields, keyword_init: true) do
    # Checks whether the entry is at least as serious as the given level.
    def at_least?(minimum)
      LEVELS.fetch(level) >= LEVELS.fetch(minimum)
    end
  end

  # Formats an entry as one line of key and value pairs.
  class KeyValueFormat
    # Writes time, level and message first and then the other fields in alphabetical order.
    def call(entry)
      pairs = { time: entry.time.utc.iso8601, level: entry.level, message: entry.message }
      pairs.merge!(entry.fields.sort_by { |name, _| name.to_s }.to_h)
      pairs.map { |name, value| "#{name}=#{quote(value)}" }.join(" ")
    end

    private

    # Puts a value into double quotes if it is empty or contains spaces, quotes or equal signs.
    def quote(value)
      text = value.to_s
      text.empty? || text.match?(/[\s"=]/) ? text.dump : text
    end
  end

  # An output that writes formatted entries to an IO.
  class StreamSink
    # Takes the stream, the least level to write and the formatter.
    def initialize(io, level: :debug, format: KeyValueFormat.new)
      @io = io
      @level = level
      @format = format
    end

    # Writes the entry unless it is below the level of the sink.
    def write(entry)
      @io.puts(@format.call(entry)) if entry.at_least?(@level)
    end
  end

  # An output that keeps only the latest entries in memory.
  class RingSink
    # Sets the number of entries to keep.
    def initialize(capacity)
      @capacity = capacity
      @entries = []
    end

    # Stores the entry and forgets the oldest one if there are too many.
    def write(entry)
      @entries << entry
      @entries.shift if @entries.size > @capacity
    end

    # Returns the messages that are still kept, oldest first.
    def messages = @entries.map(&:message)
  end

  # Hands entries to its sinks.
  class Logger
    # Creates a logger for one or more sinks; context is added to every entry.
    def initialize(*sinks, level: :info, context: {}, clock: Time)
      @sinks = sinks
      @context = context
      @clock = clock
      self.level = level
    end

    # Changes the least level that is logged and raises ArgumentError for an unknown name.
    def level=(name)
      raise ArgumentError, "unknown level #{name.inspect}, use #{LEVELS.keys.join(', ')}" unless LEVELS.key?(name)

      @level = name
    end

    LEVELS.each_key do |name|
      define_method(name) { |message = nil, **fields, &block| log(name, message, **fields, &block) }
      define_method("#{name}?") { LEVELS[name] >= LEVELS[@level] }
    end

    # Writes an entry to all sinks if its level is high enough.
    #
    # The block, if any, computes the message and is not called for levels that are switched off.
    def log(level, message = nil, **fields)
      return false if LEVELS.fetch(level) < LEVELS[@level]

      message = yield if block_given?
      entry = Entry.new(time: @clock.now, level: level, message: message, fields: @context.merge(fields))
      @sinks.each { |sink| sink.write(entry) }
      true
    end

    # Returns a logger with the same sinks that adds more fields to each entry.
    def with(**fields)
      self.class.new(*@sinks, level: @level, context: @context.merge(fields), clock: @clock)
    end

    # Logs how long the block took in milliseconds and returns the block's value.
    def measure(message, level: :info)
      started = @clock.now
      result = yield
      log(level, message, duration_ms: ((@clock.now - started) * 1000).round)
      result
    end

    # Logs an exception with its class and the first line of its backtrace.
    def exception(error)
      log(:error, error.message, class: error.class, at: error.backtrace&.first)
    end

    # Lowers or raises the level while the block runs and restores it afterwards.
    def at_level(name)
      previous = @level
      self.level = name
      yield self
    ensure
      @level = previous
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  clock = Class.new do
    attr_accessor :now
  end.new
  clock.now = Time.utc(2020, 1, 2, 3, 4, 5)
  io = StringIO.new
  ring = DemoLogging::RingSink.new(2)
  logger = DemoLogging::Logger.new(DemoLogging::StreamSink.new(io, level: :warn), ring, clock: clock)
  raise "debug" if logger.debug { raise "must not be called" }
  raise "predicate" unless logger.info? && !logger.debug?
  logger.with(user: 7).warn("disk is full", disk: "a b")
  expected = "time=2020-01-02T03:04:05Z level=warn message=\"disk is full\" disk=\"a b\" user=7\n"
  raise "line: #{io.string}" unless io.string == expected
  value = logger.measure("slow") do
    clock.now += 1.5
    42
  end
  raise "measure" unless value == 42
  logger.exception(KeyError.new("lost"))
  raise "ring" unless ring.messages == %w[slow lost]
  logger.at_level(:debug) { |l| l.debug("deep") }
  raise "restored" unless ring.messages.last == "deep" && !logger.debug?
  begin
    logger.level = :loud
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message == "unknown level :loud, use debug, info, warn, error"
  end
end

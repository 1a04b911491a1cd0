# frozen_string_literal: true

require "fileutils"

# Appends lines to a log file and rotates it by size, keeping a few numbered copies.
class LogRotator
  LEVELS = %i[debug info warn error].freeze

  attr_reader :path

  # Prepares logging to a path; the clock is any object that answers +now+.
  def initialize(path, max_bytes: 1_048_576, keep: 3, level: :info, clock: Time)
    @path = path
    @max_bytes = max_bytes
    @keep = keep
    @threshold = LEVELS.index(level) || raise(ArgumentError, "unknown level #{level}")
    @clock = clock
  end

  # Writes a message with time and level, unless its level is below the threshold.
  def log(level, message)
    return false if LEVELS.index(level) < @threshold

    line = "#{@clock.now.strftime("%Y-%m-%d %H:%M:%S")} #{level.to_s.upcase.ljust(5)} #{message}\n"
    rotate if too_big_with?(line)
    File.write(@path, line, mode: "a")
    true
  end

  LEVELS.each do |level|
    define_method(level) { |message| log(level, message) }
  end

  # Shifts every numbered copy up by one, drops the oldest and starts a new file.
  def rotate
    return unless File.exist?(@path)

    FileUtils.rm_f(backup(@keep))
    (@keep - 1).downto(1) do |number|
      FileUtils.mv(backup(number), backup(number + 1)) if File.exist?(backup(number))
    end
    @keep.positive? ? FileUtils.mv(@path, backup(1)) : FileUtils.rm(@path)
  end

  # Returns the paths of the rotated copies that exist, newest first.
  def backups
    (1..@keep).map { |number| backup(number) }.select { |copy| File.exist?(copy) }
  end

  # Yields all lines from the oldest copy to the current file.
  def each_line(&block)
    return enum_for(:each_line) unless block

    [*backups.reverse, @path].each do |file|
      File.foreach(file, chomp: true, &block) if File.exist?(file)
    end
  end

  # Returns the last +count+ lines over all files.
  def tail(count = 10)
    each_line.to_a.last(count)
  end

  # Counts the stored lines of each level.
  def summary
    each_line.with_object(Hash.new(0)) do |line, counts|
      level = LogLine.parse(line)&.level
      counts[level] += 1 if level
    end
  end

  private

  # Names the numbered copy of the log file.
  def backup(number) = "#{@path}.#{number}"

  # Checks whether adding the line would make the current file exceed its limit.
  def too_big_with?(line)
    File.exist?(@path) && File.size(@path) + line.bytesize > @max_bytes
  end
end

# One line of a log, taken apart.
LogLine = Struct.new(:time, :level, :message) do
  # Parses a line written by LogRotator and returns nil for anything else.
  def self.parse(text)
    match = /\A(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) ([A-Z]+)\s+(.*)\z/.match(text)
    match && new(match[1], match[2].downcase.to_sym, match[3])
  end

  # Checks whether the line reports something that went wrong.
  def problem?
    %i[warn error].include?(level)
  end
end

if __FILE__ == $PROGRAM_NAME
  require "tmpdir"
  clock = Struct.new(:now).new(Time.utc(2024, 2, 3, 4, 5, 6))
  Dir.mktmpdir do |dir|
    log = LogRotator.new(File.join(dir, "app.log"), max_bytes: 80, keep: 2, clock: clock)
    raise "level" unless log.debug("no") == false && log.info("one") == true
    log.error("two")
    raise "line" unless log.tail(1) == ["2024-02-03 04:05:06 ERROR two"] && log.backups.empty?
    log.warn("three")
    raise "rotated" unless log.backups.map { |f| File.basename(f) } == ["app.log.1"]
    5.times { |n| log.info("more #{n}") }
    raise "keep" unless log.backups.size == 2
    raise "summary" unless log.summary[:info] == 5
    line = LogLine.parse(log.tail(1).first)
    raise "parse" unless line.message == "more 4" && line.level == :info && !line.problem?
    raise "garbage" unless LogLine.parse("???").nil?
    log.rotate
    raise "moved" unless !File.exist?(log.path) && log.backups.size == 2
  end
end

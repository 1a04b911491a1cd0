# frozen_string_literal: true

require "digest"
require "fileutils"
require "zlib"

# Lists the checksums of the files in a folder and finds out later what has changed.
class ChecksumManifest
  # Raised for lines that are not a checksum followed by a path.
  class FormatError < StandardError; end

  ALGORITHMS = { sha256: Digest::SHA256, sha1: Digest::SHA1, md5: Digest::MD5 }.freeze

  class << self
    # Computes the digest of a file in pieces, so that large files do not fill the memory.
    def digest_file(path, algorithm: :sha256, chunk_size: 65_536)
      digest = ALGORITHMS.fetch(algorithm).new
      File.open(path, "rb") do |file|
        while (chunk = file.read(chunk_size))
          digest << chunk
        end
      end
      digest.hexdigest
    end

    # Scans a folder recursively and builds a manifest of all files that match the pattern.
    def scan(folder, pattern: "**/*", algorithm: :sha256)
      names = Dir.glob(pattern, base: folder).select { |name| File.file?(File.join(folder, name)) }
      sums = names.sort.to_h { |name| [name, digest_file(File.join(folder, name), algorithm: algorithm)] }
      new(sums, algorithm: algorithm)
    end

    # Reads a manifest from text with one checksum and one path in every line.
    def parse(text, algorithm: :sha256)
      sums = text.each_line(chomp: true).with_index(1).to_h do |line, number|
        match = /\A(\h+) [ *](.+)\z/.match(line) or raise FormatError, "line #{number} is not valid: #{line}"
        [match[2], match[1].downcase]
      end
      new(sums, algorithm: algorithm)
    end
  end

  Difference = Struct.new(:added, :removed, :changed) do
    # Checks whether nothing was added, removed or changed.
    def none?
      to_a.all?(&:empty?)
    end

    # Describes the difference in a few words, such as "1 added, 2 changed".
    def summary
      parts = to_h.reject { |_kind, names| names.empty? }
      parts.empty? ? "no changes" : parts.map { |kind, names| "#{names.size} #{kind}" }.join(", ")
    end
  end

  attr_reader :sums, :algorithm

  def initialize(sums, algorithm: :sha256)
    @sums = sums
    @algorithm = algorithm
  end

  # Compares an older manifest with this one and sorts the file names by what happened to them.
  def difference_from(older)
    common = sums.keys & older.sums.keys
    Difference.new(sums.keys - older.sums.keys, older.sums.keys - sums.keys,
                   common.reject { |name| sums[name] == older.sums[name] })
  end

  # Returns the names of files in the folder that are missing or whose content does not fit the manifest.
  def verify(folder)
    sums.reject do |name, sum|
      path = File.join(folder, name)
      File.file?(path) && self.class.digest_file(path, algorithm: algorithm) == sum
    end.keys
  end

  # Groups files with identical content, leaving out those that are unique.
  def duplicates
    sums.group_by { |_name, sum| sum }
        .values
        .select { |pairs| pairs.size > 1 }
        .map { |pairs| pairs.map(&:first) }
  end

  # Computes one digest over all names and checksums, which stands for the state of the whole folder.
  def fingerprint
    ALGORITHMS.fetch(algorithm).hexdigest(sums.sort.join("\0"))
  end

  # Writes one line for each file, in the format that parse reads.
  def to_s
    sums.map { |name, sum| "#{sum}  #{name}\n" }.join
  end
end

# Creates numbered backup copies of files and cleans them up again.
module Backup
  module_function

  # Copies a file next to itself under the first free number and returns the new path.
  def create(path)
    number = (1..).find { |candidate| !File.exist?(name_for(path, candidate)) }
    FileUtils.cp(path, name_for(path, number), preserve: true)
    name_for(path, number)
  end

  # Forms the name of a backup, such as "notes.txt.~3~".
  def name_for(path, number)
    "#{path}.~#{number}~"
  end

  # Lists the backups of a file in the order of their numbers.
  def list(path)
    folder = File.dirname(path)
    pattern = /\A#{Regexp.escape(File.basename(path))}\.~(\d+)~\z/
    Dir.children(folder)
       .grep(pattern)
       .sort_by { |name| name[pattern, 1].to_i }
       .map { |name| File.join(folder, name) }
  end

  # Deletes all backups but the newest ones and returns the deleted paths.
  def thin_out(path, keep: 3)
    doomed = list(path)[0...-keep] || []
    doomed.each { |copy| File.delete(copy) }
  end

  # Copies the newest backup over the original; without a backup nothing happens and the result is false.
  def restore(path)
    newest = list(path).last
    return false unless newest

    FileUtils.cp(newest, path)
    true
  end

  # Compresses a file into a second one with the ending .gz and tells how many percent were saved.
  def compress(path)
    target = "#{path}.gz"
    Zlib::GzipWriter.open(target) { |gzip| gzip.write(File.binread(path)) }
    100 - File.size(target) * 100 / File.size(path)
  end
end

if __FILE__ == $PROGRAM_NAME
  require "tmpdir"
  Dir.mktmpdir do |dir|
    file = ->(name) { File.join(dir, name) }
    FileUtils.mkdir(file["sub"])
    { "a.txt" => "one", "b.txt" => "two", "sub/c.txt" => "one" }.each { |name, text| File.write(file[name], text) }
    first = ChecksumManifest.scan(dir)
    raise "scan" unless first.sums.keys == %w[a.txt b.txt sub/c.txt]
    raise "digest" unless first.sums["a.txt"] == Digest::SHA256.hexdigest("one")
    raise "duplicates" unless first.duplicates == [%w[a.txt sub/c.txt]]
    raise "parse" unless ChecksumManifest.parse(first.to_s).sums == first.sums
    File.write(file["b.txt"], "2")
    File.rename(file["a.txt"], file["z.txt"])
    second = ChecksumManifest.scan(dir)
    difference = second.difference_from(first)
    raise "difference" unless difference.to_a == [%w[z.txt], %w[a.txt], %w[b.txt]]
    raise "summary" unless difference.summary == "1 added, 1 removed, 1 changed"
    raise "none" unless second.difference_from(second).none? && first.fingerprint != second.fingerprint
    raise "verify" unless first.verify(dir) == %w[a.txt b.txt] && second.verify(dir).empty?

    copies = Array.new(3) { Backup.create(file["z.txt"]) }
    raise "backups" unless copies == Backup.list(file["z.txt"]) && copies.last.end_with?("z.txt.~3~")
    raise "thin out" unless Backup.thin_out(file["z.txt"], keep: 1) == copies.first(2)
    File.write(file["z.txt"], "x" * 1000)
    raise "compress" unless Backup.compress(file["z.txt"]) > 90
    raise "restore" unless Backup.restore(file["z.txt"]) && File.read(file["z.txt"]) == "one"
    raise "no backup" if Backup.restore(file["b.txt"])
  end
  begin
    ChecksumManifest.parse("xyz")
    raise "must not parse"
  rescue ChecksumManifest::FormatError
    nil
  end
end

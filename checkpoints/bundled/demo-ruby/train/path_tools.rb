# frozen_string_literal: true

require "pathname"
require "tmpdir"
require "fileutils"

# Pure helpers for path strings; none of them touches the disk.
module PathTools
  # Raised when a path would leave the folder it has to stay in.
  class TraversalError < StandardError; end

  module_function

  # Joins parts to a path and refuses to leave the root by way of "..".
  def safe_join(root, *parts)
    base = File.expand_path(root)
    full = File.expand_path(File.join(base, *parts))
    return full if full == base || full.start_with?(base + File::SEPARATOR)

    raise TraversalError, "#{File.join(*parts)} leads out of #{root}"
  end

  # Exchanges the extension of a file name, or adds one to a name that has none.
  def replace_extension(path, extension)
    extension = ".#{extension}" unless extension.start_with?(".")
    path.delete_suffix(File.extname(path)) + extension
  end

  # Puts a suffix between the base name and the extension.
  def add_suffix(path, suffix)
    extension = File.extname(path)
    "#{path.delete_suffix(extension)}#{suffix}#{extension}"
  end

  # Computes how to get from one folder to a target with as few steps as possible.
  def relative(from, to)
    Pathname.new(to).relative_path_from(Pathname.new(from)).to_s
  end

  # Lists all ancestors of a path, beginning with its own folder.
  def ancestors(path)
    folders = []
    until (parent = File.dirname(path)) == path
      folders << parent
      path = parent
    end
    folders
  end

  # Finds the deepest folder that contains all of the paths.
  def common_folder(paths)
    split = paths.map { |path| File.dirname(path).split("/") }
    shared = split.reduce do |a, b|
      a.zip(b).take_while { |left, right| left == right }.map(&:first)
    end
    shared.join("/")
  end

  # Removes everything from a file name that could cause trouble on some file system.
  def sanitize(name)
    cleaned = name.gsub(/[\/\\:*?"<>|\x00-\x1f]/, "_").gsub(/\A\.+|[. ]+\z/, "")
    cleaned.empty? ? "unnamed" : cleaned
  end

  # Checks whether the name marks a file as hidden.
  def hidden?(path)
    name = File.basename(path)
    name.start_with?(".") && name != "." && name != ".."
  end

  # Shortens a path for display by reducing all folders but the last to their first letter.
  def abbreviate(path)
    *folders, parent, name = path.split("/")
    return path if folders.empty?

    [*folders.map { |folder| folder[0].to_s }, parent, name].join("/")
  end

  # Formats a number of bytes with a binary unit and one decimal place.
  def human_size(bytes)
    units = %w[B KiB MiB GiB TiB]
    exponent = 0
    size = bytes.to_f
    while size >= 1024 && exponent < units.size - 1
      size /= 1024
      exponent += 1
    end
    exponent.zero? ? "#{bytes} B" : format("%.1f %s", size, units[exponent])
  end
end

# A temporary folder for one piece of work that disappears afterwards.
class Workspace
  # Opens a workspace for the time of the block and removes it even when the block fails.
  def self.open(prefix: "work")
    Dir.mktmpdir(prefix) { |folder| yield new(folder) }
  end

  attr_reader :root

  def initialize(root)
    @root = root
  end

  # Returns the absolute path of something inside of the workspace.
  def path(*parts)
    PathTools.safe_join(@root, *parts)
  end

  # Writes a file and creates the folders on the way to it.
  def write(name, content)
    target = path(name)
    FileUtils.mkdir_p(File.dirname(target))
    File.write(target, content)
    target
  end

  # Reads a file of the workspace, or returns nil if there is no such file.
  def read(name)
    File.read(path(name))
  rescue Errno::ENOENT
    nil
  end

  # Lists all files below the root as sorted relative paths.
  def files
    Dir.glob("**/*", File::FNM_DOTMATCH, base: @root)
       .select { |name| File.file?(File.join(@root, name)) }
       .sort
  end

  # Sums up the sizes of all files in bytes.
  def disk_usage
    files.sum { |name| File.size(path(name)) }
  end

  # Runs the block with the workspace as current folder.
  def inside(&block)
    Dir.chdir(@root, &block)
  end
end

if __FILE__ == $PROGRAM_NAME
  p = PathTools
  raise "join" unless p.safe_join("/srv", "a", "../b") == "/srv/b"
  begin
    p.safe_join("/srv/app", "../application")
    raise "must not join"
  rescue PathTools::TraversalError
    nil
  end
  raise "extension" unless p.replace_extension("a/b.rb", "py") == "a/b.py" && p.replace_extension("x", ".md") == "x.md"
  raise "suffix" unless p.add_suffix("img.png", "@2x") == "img@2x.png"
  raise "relative" unless p.relative("/a/b", "/a/c/d") == "../c/d"
  raise "ancestors" unless p.ancestors("/a/b/c") == ["/a/b", "/a", "/"]
  raise "common" unless p.common_folder(%w[/a/b/c.rb /a/b/d/e.rb /a/bx.rb]) == "/a"
  raise "sanitize" unless p.sanitize("..a/b:c?. ") == "a_b_c_" && p.sanitize("...") == "unnamed"
  raise "hidden" unless p.hidden?("x/.git") && !p.hidden?("..")
  raise "abbreviate" unless p.abbreviate("/usr/local/lib/ruby") == "/u/l/lib/ruby" && p.abbreviate("x") == "x"
  raise "size" unless p.human_size(1023) == "1023 B" && p.human_size(1536) == "1.5 KiB"
  root = Workspace.open do |work|
    work.write("deep/down/a.txt", "12345")
    raise "files" unless work.files == ["deep/down/a.txt"] && work.disk_usage == 5
    raise "read" unless work.read("deep/down/a.txt") == "12345" && work.read("b").nil?
    raise "inside" unless work.inside { File.exist?("deep") }
    work.root
  end
  raise "removed" if File.exist?(root)
end

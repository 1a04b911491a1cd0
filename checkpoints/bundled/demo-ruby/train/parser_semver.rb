# frozen_string_literal: true

# Semantic versions and the requirements that select them.

module DemoSemver
  # A version of the form MAJOR.MINOR.PATCH with an optional label for previews.
  class Version
    include Comparable

    PATTERN = /\A(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?\z/

    attr_reader :major, :minor, :patch, :preview

    # Reads a version from text and raises ArgumentError if it is not well formed.
    def self.parse(text)
      found = PATTERN.match(text)
      raise ArgumentError, "#{text.inspect} is not a version such as 1.2.3" unless found

      new(*found.captures.first(3).map(&:to_i), found[4])
    end

    # Tells whether the text could be parsed as a version.
    def self.valid?(text) = PATTERN.match?(text)

    # Stores the three numbers and the preview label.
    def initialize(major, minor = 0, patch = 0, preview = nil)
      @major = major
      @minor = minor
      @patch = patch
      @preview = preview
    end

    # Compares two versions by their numbers and then by their preview labels.
    #
    # A preview comes before the release with the same numbers.
    def <=>(other)
      numbers = [major, minor, patch] <=> [other.major, other.minor, other.patch]
      return numbers unless numbers.zero?
      return 0 if preview == other.preview
      return 1 if preview.nil?
      return -1 if other.preview.nil?

      compare_labels(preview.split("."), other.preview.split("."))
    end

    # Returns the next version after a change of the given size, without any preview label.
    def bump(part)
      case part
      when :major then self.class.new(major + 1)
      when :minor then self.class.new(major, minor + 1)
      when :patch then self.class.new(major, minor, patch + 1)
      else raise ArgumentError, "cannot bump #{part.inspect}, use :major, :minor or :patch"
      end
    end

    # Checks whether this is a preview of a later release.
    def preview? = !preview.nil?

    # Drops the preview label.
    def release
      preview? ? self.class.new(major, minor, patch) : self
    end

    # Joins the numbers by dots and appends the preview label after a hyphen.
    def to_s
      [[major, minor, patch].join("."), preview].compact.join("-")
    end

    # Makes equal versions count as the same key in a hash.
    def hash = to_s.hash

    # Compares by class and text, as hashes and sets require.
    def eql?(other)
      other.is_a?(Version) && to_s == other.to_s
    end

    private

    # Compares preview labels piece by piece; numeric pieces sort by value and before words.
    def compare_labels(ours, theirs)
      ours.zip(theirs).each do |a, b|
        return 1 if b.nil?
        next if a == b

        numeric = [a, b].map { |piece| piece.match?(/\A\d+\z/) }
        return a.to_i <=> b.to_i if numeric.all?
        return numeric.first ? -1 : 1 if numeric.any?

        return a <=> b
      end
      ours.length <=> theirs.length
    end
  end

  # A list of conditions such as ">= 1.2.0, < 2.0.0".
  class Requirement
    # Splits the text at commas and reads an operator and a version from each piece.
    def initialize(text)
      @conditions = text.split(",").map do |piece|
        operator, version = piece.strip.match(/\A(>=|<=|>|<|=|~>|\^)?\s*(\S+)\z/)&.captures
        raise ArgumentError, "cannot read requirement #{piece.inspect}" unless version

        [operator || "=", Version.parse(version)]
      end
    end

    # Checks whether a version meets every condition.
    def satisfied_by?(version)
      version = Version.parse(version) if version.is_a?(String)
      @conditions.all? { |operator, limit| compare(version, operator, limit) }
    end

    # Picks the highest of the given versions that meets the requirement, or nil if there is none.
    def best(versions)
      versions.select { |version| satisfied_by?(version) }.max_by do |version|
        version.is_a?(String) ? Version.parse(version) : version
      end
    end

    private

    # Applies one operator; "~>" keeps the minor version and "^" keeps the major version.
    def compare(version, operator, limit)
      case operator
      when "=" then version == limit
      when "~>" then version >= limit && version < limit.bump(:minor)
      when "^" then version >= limit && version < limit.bump(:major)
      else version.public_send(operator, limit)
      end
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  versions = %w[1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0 1.0.1 1.2.0 2.0.0]
  parsed = versions.map { |text| DemoSemver::Version.parse(text) }
  raise "order" unless parsed.shuffle(random: Random.new(1)).sort.map(&:to_s) == versions
  raise "bump" unless parsed[6].bump(:minor).to_s == "1.1.0"
  raise "release" unless parsed.first.preview? && parsed.first.release.to_s == "1.0.0"
  raise "hash" unless { parsed.first => 1 }[DemoSemver::Version.parse("1.0.0-alpha")] == 1
  raise "valid" if DemoSemver::Version.valid?("1.2")
  raise "range" unless DemoSemver::Requirement.new(">= 1.0.0, < 2.0.0").best(versions) == "1.2.0"
  raise "tilde" unless DemoSemver::Requirement.new("~> 1.0.0").best(versions) == "1.0.1"
  raise "caret" if DemoSemver::Requirement.new("^ 1.0.0").satisfied_by?("2.0.0")
  begin
    DemoSemver::Version.parse("one")
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message.start_with?('"one"')
  end
  raise "exact" unless DemoSemver::Requirement.new("1.2.0").satisfied_by?(parsed[5].bump(:patch).bump(:minor)) == false
  raise "longer" unless DemoSemver::Version.parse("1.0.0-a.b") < DemoSemver::Version.parse("1.0.0-a.b.c")
  begin
    parsed.first.bump(:size)
    raise "no error"
  rescue ArgumentError => e
    raise "text" unless e.message == "cannot bump :size, use :major, :minor or :patch"
  end
end

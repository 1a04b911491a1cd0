# frozen_string_literal: true

# Feature flags with switches per actor, per group and for a share of all actors.

require "zlib"

module DemoFlags
  # Raised when code asks for a flag that nobody has declared.
  class UnknownFlag < KeyError; end

  # The settings of one flag.
  class Flag
    attr_reader :name, :percentage

    # Creates a flag that is switched off for everybody.
    def initialize(name)
      @name = name
      @on = false
      @actors = []
      @groups = []
      @percentage = 0
    end

    # Switches the flag on for all, or for single actors or groups if some are given.
    def enable(actor: nil, group: nil)
      @actors |= [actor] if actor
      @groups |= [group] if group
      @on = true unless actor || group
      self
    end

    # Takes back what enable has done for the same arguments.
    def disable(actor: nil, group: nil)
      @actors.delete(actor)
      @groups.delete(group)
      @on = false unless actor || group
      self
    end

    # Opens the flag for a share of all actors, given in percent.
    def percentage=(share)
      raise ArgumentError, "#{share} is no percentage" unless (0..100).cover?(share)

      @percentage = share
    end

    # Decides whether the flag is on for the given actor.
    #
    # The groups are a hash of tests that tell whether an actor belongs to a group.
    def on?(actor = nil, groups = {})
      return true if @on
      return false if actor.nil?

      @actors.include?(actor) || in_group?(actor, groups) || bucket(actor) < @percentage
    end

    # Maps an actor to a number from 0 to 99 that stays the same for each pair of flag and actor.
    def bucket(actor)
      Zlib.crc32("#{name}/#{actor}") % 100
    end

    # Describes the settings in a few words.
    def summary
      return "on" if @on

      parts = []
      parts << "#{@actors.size} actors" if @actors.any?
      parts << "groups #{@groups.join(', ')}" if @groups.any?
      parts << "#{@percentage} %" if @percentage.positive?
      parts.empty? ? "off" : parts.join("; ")
    end

    private

    # Checks whether the actor belongs to one of the groups of this flag.
    def in_group?(actor, groups)
      @groups.any? { |group| groups[group]&.call(actor) }
    end
  end

  # All flags of an application.
  class FlagSet
    include Enumerable

    # Creates a set with the given names, all switched off.
    def initialize(*names)
      @flags = names.to_h { |name| [name, Flag.new(name)] }
      @groups = {}
      @overrides = {}
    end

    # Finds a flag and raises UnknownFlag with the known names if it does not exist.
    def [](name)
      @flags.fetch(name) do
        raise UnknownFlag, "no flag #{name.inspect}; known flags: #{@flags.keys.join(', ')}"
      end
    end

    # Defines a group of actors by a block that answers whether an actor belongs to it.
    def group(name, &test)
      @groups[name] = test
      self
    end

    # Checks whether a feature is on for an actor, looking at temporary overrides first.
    def enabled?(name, actor = nil)
      flag = self[name]
      @overrides.fetch(name) { flag.on?(actor, @groups) }
    end

    # Runs the block if the feature is on and returns the fallback value otherwise.
    def when_enabled(name, actor = nil, otherwise: nil)
      enabled?(name, actor) ? yield : otherwise
    end

    # Forces features on or off while the block runs, which is handy in tests.
    def override(**states)
      previous = @overrides
      @overrides = previous.merge(states)
      yield
    ensure
      @overrides = previous
    end

    # Yields each flag.
    def each(&block)
      return enum_for(:each) unless block

      @flags.each_value(&block)
    end

    # Maps the name of each flag to a short description of its settings.
    def report = to_h { |flag| [flag.name, flag.summary] }
  end
end

if __FILE__ == $PROGRAM_NAME
  flags = DemoFlags::FlagSet.new(:search, :chat, :dark)
  raise "off" if flags.enabled?(:search, "ann")
  flags[:search].enable(actor: "ann")
  raise "actor" unless flags.enabled?(:search, "ann") && !flags.enabled?(:search, "bob")
  flags.group(:staff) { |actor| actor.end_with?("@work") }
  flags[:chat].enable(group: :staff)
  raise "group" unless flags.enabled?(:chat, "eve@work") && !flags.enabled?(:chat, "eve")
  flags[:dark].percentage = 30
  users = (1..1000).map { |n| "user#{n}" }
  share = users.count { |user| flags.enabled?(:dark, user) }
  raise "share #{share}" unless share.between?(250, 350)
  raise "stable" unless users.all? { |user| flags[:dark].bucket(user) == flags[:dark].bucket(user) }
  raise "report" unless flags.report == { search: "1 actors", chat: "groups staff", dark: "30 %" }
  flags[:search].disable(actor: "ann")
  raise "disable" unless flags.when_enabled(:search, "ann", otherwise: :old) { :new } == :old
  forced = flags.override(search: true) { flags.enabled?(:search) }
  raise "override" unless forced && !flags.enabled?(:search)
  begin
    flags.enabled?(:typo)
    raise "no error"
  rescue DemoFlags::UnknownFlag => e
    raise "text" unless e.message.include?("known flags: search, chat, dark")
  end
end

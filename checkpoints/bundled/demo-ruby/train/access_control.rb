# frozen_string_literal: true

# Roles, abilities and bit masks of permissions.

module DemoAccess
  # Raised when somebody tries what they may not do.
  class Forbidden < StandardError; end

  # A set of permissions packed into the bits of one integer.
  class PermissionSet
    include Enumerable

    NAMES = %i[read comment write delete share manage].freeze

    attr_reader :bits

    # Builds a set from names and raises ArgumentError for a name that does not exist.
    def self.of(*names)
      names.reduce(new) { |set, name| set.grant(name) }
    end

    # Wraps an integer whose bits stand for the permissions.
    def initialize(bits = 0)
      @bits = bits
    end

    # Returns a set in which the permission is included.
    def grant(name) = self.class.new(bits | mask(name))

    # Returns a set from which the permission is removed.
    def revoke(name)
      self.class.new(bits & ~mask(name))
    end

    # Checks whether all given permissions are part of the set.
    def allow?(*names)
      names.all? { |name| (bits & mask(name)).positive? }
    end

    # Unites two sets.
    def |(other)
      self.class.new(bits | other.bits)
    end

    # Keeps what both sets have in common.
    def &(other)
      self.class.new(bits & other.bits)
    end

    # Considers sets equal if the same bits are set.
    def ==(other)
      other.is_a?(PermissionSet) && bits == other.bits
    end

    # Yields the names of the permissions in the set.
    def each(&block)
      NAMES.select { |name| allow?(name) }.each(&block)
    end

    # Shows one letter per permission and a hyphen for each one that is missing.
    def to_s
      NAMES.map { |name| allow?(name) ? name[0] : "-" }.join
    end

    private

    # Finds the bit of a permission.
    def mask(name)
      index = NAMES.index(name) or raise ArgumentError, "unknown permission #{name.inspect}"
      1 << index
    end
  end

  # Roles that can inherit the permissions of other roles.
  class RoleBook
    # Starts without roles.
    def initialize
      @own = {}
      @parents = {}
    end

    # Defines a role with its own permissions and the roles it builds on.
    def define(role, *permissions, inherits: [])
      @own[role] = PermissionSet.of(*permissions)
      @parents[role] = Array(inherits)
      self
    end

    # Unites the permissions of a role with those of all roles it inherits from.
    def permissions(role, seen = [])
      raise ArgumentError, "unknown role #{role.inspect}" unless @own.key?(role)
      return PermissionSet.new if seen.include?(role)

      @parents[role].reduce(@own[role]) { |sum, parent| sum | permissions(parent, [*seen, role]) }
    end

    # Names the roles that hold a permission, directly or by inheritance.
    def roles_with(permission)
      @own.keys.select { |role| permissions(role).allow?(permission) }
    end
  end

  # Rules that decide for a user, an action and an object.
  class Policy
    # Takes the rules in a block; the last rule that fits decides.
    def initialize(&block)
      @rules = []
      instance_eval(&block)
    end

    # Permits actions on objects of a class, optionally only if the block agrees.
    def can(*actions, on:, &condition)
      @rules << [true, actions, on, condition]
    end

    # Prohibits actions on objects of a class, optionally only if the block agrees.
    def cannot(*actions, on:, &condition)
      @rules << [false, actions, on, condition]
    end

    # Decides whether the user may apply the action to the object; without a matching rule the answer is no.
    def allowed?(user, action, object)
      rule = @rules.reverse.find do |_, actions, type, condition|
        (actions.include?(action) || actions.include?(:any)) && type === object &&
          (condition.nil? || condition.call(user, object))
      end
      rule ? rule.first : false
    end

    # Returns the object if the action is allowed and raises Forbidden otherwise.
    def authorize!(user, action, object)
      return object if allowed?(user, action, object)

      raise Forbidden, "#{user} may not #{action} this #{object.class.name.downcase}"
    end

    # Selects the objects on which the user may carry out the action.
    def scope(user, action, objects)
      objects.select { |object| allowed?(user, action, object) }
    end
  end
end

if __FILE__ == $PROGRAM_NAME
  set = DemoAccess::PermissionSet.of(:read, :write)
  raise "to_s" unless set.to_s == "r-w---" && set.bits == 5
  raise "names" unless set.grant(:share).revoke(:read).to_a == %i[write share]
  raise "operators" unless (set & DemoAccess::PermissionSet.of(:read, :manage)).to_a == [:read]
  raise "equal" unless (set | set) == DemoAccess::PermissionSet.new(5)
  roles = DemoAccess::RoleBook.new
  roles.define(:guest, :read).define(:author, :write, inherits: :guest)
  roles.define(:admin, :manage, :delete, inherits: %i[author admin])
  raise "inherit" unless roles.permissions(:admin).to_s == "r-wd-m"
  raise "roles" unless roles.roles_with(:write) == %i[author admin]
  policy = DemoAccess::Policy.new do
    can :read, on: String
    can :any, on: String do |user, text|
      text.start_with?(user)
    end
    cannot :delete, on: /keep/
  end
  raise "read" unless policy.allowed?("ann", :read, "bob: hi")
  raise "own" unless policy.allowed?("ann", :edit, "ann: hi") && !policy.allowed?("ann", :edit, "bob: hi")
  raise "scope" unless policy.scope("ann", :delete, ["ann: a", "ann: keep", "bob: b"]) == ["ann: a"]
  begin
    policy.authorize!("ann", :delete, "ann: keep")
    raise "no error"
  rescue DemoAccess::Forbidden => e
    raise "text" unless e.message == "ann may not delete this string"
  end
end
